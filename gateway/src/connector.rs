use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;

/// When a quiet connection is probed, how often, and how many probes may be lost. A machine that
/// loses its power closes nothing: without probes, a caller whose answer was being computed there
/// would wait for ever, and so would a watch.
const QUIET: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// How long what was sent may stay unacknowledged; nothing is probed meanwhile.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Opens connections, and notices when the other side is gone.
pub(crate) fn connector(connect_timeout: Option<Duration>) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(connect_timeout);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(QUIET));
    connector.set_keepalive_interval(Some(INTERVAL));
    connector.set_keepalive_retries(Some(RETRIES));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    connector
}
