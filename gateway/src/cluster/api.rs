use http::Response;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

use super::link::Link;
use crate::connector::connector;

/// A client whose every good answer is told to `link`. A watch that is taken up again brings no
/// event until something changes, so its events alone don't tell that the server is back.
pub(super) fn client(config: &Config, link: Link) -> kube::Result<Client> {
    let mut connector = connector(config.connect_timeout);
    connector.enforce_http(false);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .map_response(move |response: Response<Incoming>| {
            if response.status().is_success() {
                link.answered();
            }
            response
        })
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
