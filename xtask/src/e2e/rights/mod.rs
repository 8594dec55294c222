//! Whether Chandler's accounts have the rights that they use, and no other: what the API server
//! grants them is compared with what it was asked by them, which its audit log tells.

mod compare;
mod granted;
mod used;

use super::install::NAMESPACE;
use crate::cluster::place;
use crate::shell::{capture, command};
use anyhow::{Context, Result, bail};
use compare::Row;

/// Kinds that grant rights, or say to whom.
const KINDS: &str = "clusterroles,roles,clusterrolebindings,rolebindings";

/// Prints how often each right was used since the cluster came up. Only after all other tests does
/// it tell anything: a right counts as unused until something has used it.
///
/// # Errors
/// When a right was not used, or was missing, or is one that nobody shall have.
pub(super) fn check() -> Result<()> {
    let get = ["get", KINDS, "--all-namespaces", "--output=json"];
    let answer = capture(command("kubectl").args(get))?;
    let objects = serde_json::from_str(&answer).context("the roles and bindings of the cluster")?;
    let rights = granted::of(NAMESPACE, &objects);
    let requests = used::read(&place::audit_folder(), NAMESPACE)?;
    println!("{} requests of {NAMESPACE}'s accounts", requests.len());
    let verdict = compare::compare(&rights, &requests);
    print(&verdict.rows);
    for finding in &verdict.findings {
        println!("{finding}");
    }
    match verdict.findings.len() {
        0 => Ok(()),
        count => bail!("{count} rights are not as they should be; see above"),
    }
}

fn print(rows: &[Row]) {
    println!(
        "{:>8}  {:<20} {:<18} {:<44} VERB",
        "USED", "ACCOUNT", "WHERE", "RESOURCE"
    );
    for Row { grant, uses } in rows {
        println!(
            "{uses:>8}  {:<20} {:<18} {:<44} {}",
            grant.account,
            grant.place.to_string(),
            grant.resource(),
            grant.verb
        );
    }
}
