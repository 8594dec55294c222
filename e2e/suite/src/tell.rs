//! What there is to see after a failed test.

use crate::{SYSTEM, Space, kubectl};

/// Prints the state of a namespace and the operator's last words.
pub(crate) fn all(space: &Space) {
    let name = space.name.as_str();
    let looks: [&[&str]; 5] = [
        &["get", "modeldeployments", "-n", name, "-o", "yaml"],
        &["get", "all", "-n", name, "-o", "wide"],
        &["describe", "pods", "-n", name],
        &["get", "events", "-n", name, "--sort-by=.lastTimestamp"],
        &[
            "logs",
            "-n",
            SYSTEM,
            "-l",
            "app.kubernetes.io/component=operator",
            "--tail=60",
        ],
    ];
    for look in looks {
        println!("---- kubectl {}", look.join(" "));
        match kubectl(look) {
            Ok(told) => println!("{told}"),
            Err(error) => println!("{error:#}"),
        }
    }
}
