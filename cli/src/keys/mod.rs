//! `chandler keys`: the API keys of a gateway, as Secrets that hold a hash and never a key.

mod cluster;
mod secret;
mod table;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chandler_core::traffic::limit::Limits;
use chandler_gateway::accounts::{Account, KeyHash};

use crate::args::{
    CreateKeyArgs, CreateOutput, KeysCommand, ListKeysArgs, ListOutput, RevokeKeyArgs,
};
use cluster::Keys;

/// Runs one of the commands.
pub(crate) fn run(command: &KeysCommand) -> ExitCode {
    match perform(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: &KeysCommand) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match command {
            KeysCommand::Create(args) => create(args).await,
            KeysCommand::List(args) => list(args).await,
            KeysCommand::Revoke(args) => revoke(args).await,
        }
    })
}

async fn create(args: &CreateKeyArgs) -> Result<()> {
    check_name(&args.name)?;
    let key = secret::new_key()?;
    let account = Account {
        name: args.name.clone(),
        hash: KeyHash::of(&key),
        models: args.models.clone(),
        limits: Limits {
            requests_per_minute: args.requests_per_minute,
            tokens_per_minute: args.tokens_per_minute,
            max_concurrent: args.max_concurrent,
        },
        weight: args.weight,
        created: Some(
            jiff::Timestamp::now()
                .round(jiff::Unit::Second)?
                .to_string(),
        ),
    };
    let secret = account.to_secret(Some(&args.gateway.namespace));
    if args.output == Some(CreateOutput::Yaml) {
        print!("---\n{}", serde_yaml::to_string(&secret)?);
        eprintln!("{key}");
        return Ok(());
    }
    Keys::of(&args.gateway).await?.create(&secret).await?;
    eprintln!("This is the key of {}; it is shown this once.", args.name);
    println!("{key}");
    Ok(())
}

/// A name of a Secret, told before anything is asked of a cluster.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let well = name.len() <= 253
        && name.starts_with(plain)
        && name.ends_with(plain)
        && name.chars().all(|c| plain(c) || c == '-' || c == '.')
        && !name.contains("..");
    if !well {
        bail!(
            "`{name}` can't be a key's name: write lowercase letters, digits, `-` and `.`, such as team-a"
        );
    }
    Ok(())
}

async fn list(args: &ListKeysArgs) -> Result<()> {
    let secrets = Keys::of(&args.gateway).await?.list().await?;
    let rows: Vec<_> = secrets.iter().map(table::Row::of).collect();
    match args.output {
        ListOutput::Table => print!("{}", table::text(&rows)),
        ListOutput::Json => println!("{}", serde_json::to_string_pretty(&rows)?),
    }
    if rows.is_empty() {
        eprintln!(
            "warning: {} has no key, so whoever reaches its gateway may use every model; \
             `chandler keys create NAME` closes it",
            args.gateway.namespace
        );
    }
    Ok(())
}

async fn revoke(args: &RevokeKeyArgs) -> Result<()> {
    let keys = Keys::of(&args.gateway).await?;
    keys.revoke(&args.name).await?;
    println!("{} is revoked", args.name);
    if keys.list().await?.is_empty() {
        eprintln!(
            "warning: that was the last key of {}: its gateway is open to everyone now",
            args.gateway.namespace
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_secrets() {
        for good in ["a", "team-a", "team.a-1", "0"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Team",
            "-a",
            "a-",
            "a b",
            "a_b",
            "a..b",
            "ä",
            &"a".repeat(254),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
