//! What came of simulations, for people: a table as text, and a page with charts.

mod axis;
mod chart;
mod html;
mod svg;
mod table;

pub use html::{Page, html};
pub use table::table;

use std::time::Duration;

/// A length of time in few characters: milliseconds below a second, seconds with a decimal below a
/// hundred of them, whole ones above.
fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 1.0 => format!("{}ms", time.as_millis()),
        _ if seconds < 100.0 => format!("{seconds:.1}s"),
        _ => format!("{seconds:.0}s"),
    }
}
