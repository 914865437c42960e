//! The demonstration page of `dev`: files without a build step, embedded in the program.

use godwit_edge::dev::File;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// All files, each at the path where the page looks for it.
pub(crate) const FILES: [File; 10] = [
    File { path: "/", content_type: HTML, bytes: include_bytes!("page/index.html") },
    File { path: "/style.css", content_type: CSS, bytes: include_bytes!("page/style.css") },
    File { path: "/app.js", content_type: SCRIPT, bytes: include_bytes!("page/app.js") },
    File { path: "/model.js", content_type: SCRIPT, bytes: include_bytes!("page/model.js") },
    File { path: "/outbox.js", content_type: SCRIPT, bytes: include_bytes!("page/outbox.js") },
    File { path: "/phone.js", content_type: SCRIPT, bytes: include_bytes!("page/phone.js") },
    File { path: "/retry.js", content_type: SCRIPT, bytes: include_bytes!("page/retry.js") },
    File { path: "/session.js", content_type: SCRIPT, bytes: include_bytes!("page/session.js") },
    File { path: "/stream.js", content_type: SCRIPT, bytes: include_bytes!("page/stream.js") },
    File { path: "/view.js", content_type: SCRIPT, bytes: include_bytes!("page/view.js") },
];
