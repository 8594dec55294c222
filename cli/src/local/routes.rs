use chandler_gateway::{ModelRoute, RevisionRoute, RouteTable};

use super::state::{Model, Models};

/// The gateway's table: every model that is known, with the replicas that are ready.
pub(super) fn table(models: &Models) -> RouteTable {
    let routes = models.all.iter().map(|(key, model)| {
        let route = ModelRoute {
            key: key.to_string(),
            served_name: model.served_name.clone(),
            created: model.created.as_second(),
            revisions: revisions(model),
            request_timeout: model.request_timeout,
            shadow: model.shadow.clone(),
            ..ModelRoute::default()
        };
        (model.served_name.clone(), route)
    });
    RouteTable {
        models: routes.collect(),
    }
}

fn revisions(model: &Model) -> Vec<RevisionRoute> {
    let routes = model
        .revisions
        .iter()
        .map(|(name, revision)| RevisionRoute {
            revision: name.clone(),
            weight: model.weights.get(name).copied().unwrap_or(0),
            endpoints: revision
                .replicas
                .iter()
                .filter_map(|replica| replica.view().ready_endpoint())
                .collect(),
        });
    routes.collect()
}
