//! Logins to registries as `docker login` writes them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::access::Login;

/// Docker's own registry, and its name in a file of logins.
const DOCKER_HUB: (&str, &str) = ("docker.io", "index.docker.io");

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerLogin>,
}

#[derive(Deserialize)]
struct DockerLogin {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// The login to `registry` in a file as `docker login` writes it.
pub(super) fn login_to(registry: &str, text: &str) -> Result<Option<Login>, &'static str> {
    // The parser's own words could quote the file.
    let config: DockerConfig =
        serde_json::from_str(text).map_err(|_| "it is not the JSON that `docker login` writes")?;
    let host_of = |key: &str| {
        let key = key.split_once("://").map_or(key, |(_, rest)| rest);
        key.split('/').next().unwrap_or(key).to_owned()
    };
    let is_meant = |key: &str| {
        let host = host_of(key);
        host == registry || (registry, host.as_str()) == DOCKER_HUB
    };
    let Some((_, login)) = config.auths.into_iter().find(|(key, _)| is_meant(key)) else {
        return Ok(None);
    };
    if let (Some(user), Some(password)) = (login.username, login.password) {
        return Ok(Some(Login::Basic(user, password)));
    }
    let packed = login
        .auth
        .ok_or("it has neither `auth` nor `username` and `password`")?;
    let plain = STANDARD.decode(packed.trim()).ok();
    let plain = plain.and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = plain.as_deref().and_then(|text| text.split_once(':'));
    let (user, password) = pair.ok_or("its `auth` is not base64 of user:password")?;
    Ok(Some(Login::Basic(user.to_owned(), password.to_owned())))
}
