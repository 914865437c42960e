//! `GET /v1/events` on a socket of its own: what [`crate::events`] says, carried out.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use godwit_actors::StreamHandle;
use godwit_types::Timestamp;
use godwit_wire::ByeReason;
use http::{Response, request};

use super::{Opened, Streams};
use crate::events::{self, Refusal};
use crate::gate::Gate;

impl Streams for Arc<Gate> {
    type Frames = StreamHandle;

    async fn open(&self, head: request::Parts) -> Result<Opened<StreamHandle>, Box<Response<Bytes>>> {
        let now = Timestamp::from(SystemTime::now());
        match events::request(&head.uri, &head.headers, self, now).await {
            Ok(request) => {
                let headers = events::head(self, &head.headers).into_parts().0.headers;
                Ok(Opened { headers, frames: self.region.open_stream(request) })
            }
            Err(refusal) => Err(Box::new(events::refuse(&refusal, self, &head.headers))),
        }
    }

    fn turn_away(&self, head: request::Parts) -> Response<Bytes> {
        events::refuse(&Refusal::NotNow(ByeReason::Overload), self, &head.headers)
    }
}
