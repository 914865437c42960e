//! The pump alone, between a source that a test fills and a socket that a test reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::*;
use crate::accept::Limits;
use crate::accept::admission::Admission;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// What the account's side would do, done by the test.
#[derive(Default)]
struct Source {
    frames: Vec<Bytes>,
    over: bool,
    /// Writes this again and again, as fast as it is taken.
    endless: Option<Bytes>,
    asked_for: usize,
    waker: Option<std::task::Waker>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Source>>);

impl Fake {
    fn push(&self, frame: &'static [u8]) {
        let mut source = self.0.lock();
        source.frames.push(Bytes::from_static(frame));
        if let Some(waker) = source.waker.take() {
            waker.wake();
        }
    }

    fn end(&self) {
        let mut source = self.0.lock();
        source.over = true;
        if let Some(waker) = source.waker.take() {
            waker.wake();
        }
    }
}

impl Frames for Fake {
    fn poll_frames(&self, cx: &mut Context<'_>, frames: &mut Vec<Bytes>, bytes_max: usize) -> Poll<bool> {
        let mut source = self.0.lock();
        if let Some(frame) = &source.endless {
            let count = bytes_max / frame.len();
            frames.extend(std::iter::repeat_n(frame.clone(), count));
            source.asked_for += count * frames[0].len();
            return Poll::Ready(true);
        }
        if source.frames.is_empty() && !source.over {
            source.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        frames.append(&mut source.frames);
        Poll::Ready(!source.over)
    }
}

struct Running {
    client: TcpStream,
    source: Fake,
    ended: oneshot::Receiver<Ended>,
    pump: tokio::task::JoinHandle<()>,
}

async fn pair() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, address) = listener.accept().await.unwrap();
    (client, server, address)
}

/// Starts a pump on a socket that `prepare` may change.
async fn start(chunked: bool, source: Fake, prepare: impl FnOnce(&TcpStream)) -> Running {
    let (client, server, address) = pair().await;
    prepare(&server);
    let admission = Admission::new(&Limits::default());
    let (seated, seat) = oneshot::channel();
    admission.seat(address.ip(), |seat| async move { drop(seated.send(seat)) });
    let pump = Pump::new(server, b"HEAD\r\n\r\n".to_vec(), chunked, source.clone(), seat.await.unwrap());
    let (say, ended) = oneshot::channel();
    let pump = tokio::spawn(async move {
        let _ = say.send(pump.await);
    });
    Running { client, source, ended, pump }
}

async fn ended(running: Running) -> Ended {
    timeout(LONG, running.ended).await.expect("the pump goes on").unwrap()
}

async fn rest(client: &mut TcpStream) -> String {
    let mut all = Vec::new();
    timeout(LONG, client.read_to_end(&mut all)).await.unwrap().unwrap();
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn frames_go_out_as_chunks_in_order() {
    let mut running = start(true, Fake::default(), |_| {}).await;
    let mut head = [0; 8];
    running.client.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HEAD\r\n\r\n"); // it does not wait for the first event
    running.source.push(b":\n\n");
    let mut beat = [0; 8];
    running.client.read_exact(&mut beat).await.unwrap();
    assert_eq!(&beat, b"3\r\n:\n\n\r\n");
    running.source.push(b"event: bye\ndata: {}\n\n");
    running.source.end();
    let end = rest(&mut running.client).await;
    let text: String = end.lines().filter(|line| line.contains(':')).collect();
    assert_eq!(text, "event: byedata: {}");
    assert!(end.ends_with("\r\n0\r\n\r\n"), "{end:?}");
    assert_eq!(ended(running).await, Ended::Bye);
}

#[tokio::test]
async fn an_old_client_gets_no_chunks() {
    let source = Fake::default();
    source.push(b"retry: 1\n\n");
    source.push(b":\n\n");
    source.end();
    let mut running = start(false, source, |_| {}).await;
    assert_eq!(rest(&mut running.client).await, "HEAD\r\n\r\nretry: 1\n\n:\n\n");
    assert_eq!(ended(running).await, Ended::Bye);
}

#[tokio::test]
async fn a_client_that_goes_is_noticed_at_once() {
    let running = start(true, Fake::default(), |_| {}).await;
    let Running { client, ended: mut said, .. } = running;
    sleep(Duration::from_millis(20)).await;
    assert!(said.try_recv().is_err(), "it ended by itself");
    drop(client);
    let said = timeout(LONG, said).await.unwrap().unwrap();
    assert!(matches!(said, Ended::Closed | Ended::Reset), "{said:?}"); // a RST if the head was not read
}

#[tokio::test]
async fn a_reset_in_mid_write_ends_it() {
    let source = Fake::default();
    source.0.lock().endless = Some(Bytes::from(vec![b'x'; 1_000]));
    let mut running = start(true, source, |_| {}).await;
    let mut some = vec![0; 100_000];
    running.client.read_exact(&mut some).await.unwrap();
    SockRef::from(&running.client).set_linger(Some(Duration::ZERO)).unwrap();
    let Running { client, ended, .. } = running;
    drop(client);
    assert_eq!(timeout(LONG, ended).await.unwrap().unwrap(), Ended::Reset);
}

#[tokio::test]
async fn a_client_that_talks_is_borne_for_a_while() {
    let mut running = start(true, Fake::default(), |_| {}).await;
    running.client.write_all(&[b'x'; CHATTER_BYTES_MAX as usize]).await.unwrap();
    running.source.push(b":\n\n");
    let mut out = [0; 16];
    timeout(LONG, running.client.read_exact(&mut out)).await.unwrap().unwrap();
    assert_eq!(&out[8..], b"3\r\n:\n\n\r\n");
    running.client.write_all(b"x").await.unwrap();
    assert_eq!(ended(running).await, Ended::Chatter);
}

#[tokio::test]
async fn a_reader_who_stops_costs_what_is_said_and_then_gets_all() {
    const FRAME: usize = 1_000;
    let source = Fake::default();
    source.0.lock().endless = Some(Bytes::from(vec![b'x'; FRAME]));
    let mut running = start(true, source.clone(), crate::accept::bound_send_buffer).await;
    let mut before = usize::MAX;
    let taken = loop {
        sleep(Duration::from_millis(50)).await;
        let now = source.0.lock().asked_for;
        if now == before {
            break now;
        }
        before = now;
    };
    // What the client's kernel and ours hold is not the pump's; the pump has taken no more than that and a batch.
    let mut all = vec![0; taken - 2 * BATCH_BYTES];
    timeout(LONG, running.client.read_exact(&mut all)).await.unwrap().unwrap();
    source.0.lock().endless = None;
    source.end();
    let mut rest = Vec::new();
    timeout(LONG, running.client.read_to_end(&mut rest)).await.unwrap().unwrap();
    all.extend(rest);
    let payload = all.iter().filter(|byte| **byte == b'x').count();
    assert_eq!(payload, source.0.lock().asked_for);
    assert_eq!(ended(running).await, Ended::Bye);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_ends_a_socket_that_takes_nothing() {
    let source = Fake::default();
    source.0.lock().endless = Some(Bytes::from(vec![b'x'; 1_000]));
    let unsent_max = Duration::from_millis(700);
    let running = start(true, source, |socket| {
        crate::accept::bound_send_buffer(socket);
        SockRef::from(socket).set_tcp_user_timeout(Some(unsent_max)).unwrap();
    })
    .await;
    let Running { client, ended, .. } = running;
    assert_eq!(timeout(LONG, ended).await.unwrap().unwrap(), Ended::TimedOut);
    drop(client); // it was there all the time: its window was shut
}

#[tokio::test]
async fn a_pump_that_is_cut_leaves_nothing_open() {
    let mut running = start(true, Fake::default(), |_| {}).await;
    let mut head = [0; 8];
    running.client.read_exact(&mut head).await.unwrap();
    running.pump.abort();
    assert_eq!(rest(&mut running.client).await, "");
}

#[test]
fn an_idle_stream_is_small() {
    // The real handle is a pointer. A task of tokio's adds its header and rounds up to 128 bytes.
    let bytes = size_of::<Pump<Arc<()>>>();
    assert!(bytes <= 96, "{bytes}");
}
