use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpStream;

use crate::support::{Door, chat, config, piece, read, soon, until};
use crate::upstream::{Upstream, one_event_each};

#[tokio::test]
async fn a_stream_in_flight_is_finished_and_nothing_new_begins() {
    let (upstream, mut opened) = one_event_each().await;
    let mut door = Door::before(upstream.alone()).await;
    let mut response = door.begin_chat().await;
    assert!(piece(response.body_mut()).await.is_some());
    let pieces = soon("the stream", opened.recv()).await.unwrap();
    door.stop.cancel();
    let refused = async { while TcpStream::connect(door.addr).await.is_ok() {} };
    soon("a closed listener", refused).await;
    assert!(!door.served.is_finished(), "a stream is in flight");

    pieces.send("data: 2\n\n").unwrap();
    pieces.send("data: [DONE]\n\n").unwrap();
    drop(pieces);
    let rest = read(response).await;
    assert_eq!(rest.text(), "data: 2\n\ndata: [DONE]\n\n");
    soon("the end of serving", &mut door.served)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(door.gateway.in_flight(&upstream.endpoint.id), 0);
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once_though_clients_keep_connections() {
    let upstream = Upstream::named("a").await;
    let mut door = Door::before(upstream.alone()).await;
    assert_eq!(door.chat().await.status, StatusCode::OK);
    door.stop.cancel();
    soon("the end of serving", &mut door.served)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn past_the_deadline_everyone_gets_a_well_formed_end() {
    let (upstream, mut opened) = one_event_each().await;
    let silent = Upstream::new(|_| std::future::pending::<()>()).await;
    let mut config = config();
    config.drain_deadline = Duration::from_millis(1);
    let mut door = Door::open(config).await;
    door.gateway.publish(chat(upstream.alone()));
    let mut stream = door.begin_chat().await;
    assert!(piece(stream.body_mut()).await.is_some());
    let _pieces = soon("the stream", opened.recv()).await.unwrap();
    door.gateway.publish(chat(silent.alone()));
    let stop = async {
        until("a request without an answer", || silent.requests() == 1).await;
        door.stop.cancel();
    };
    let (answer, ()) = tokio::join!(door.chat(), stop);
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.error().2, "shutting_down");

    let rest = read(stream).await;
    assert!(
        rest.text().starts_with("data: {\"error\":"),
        "{}",
        rest.text()
    );
    assert!(rest.text().contains("shutting_down"));
    assert!(rest.text().ends_with("\n\ndata: [DONE]\n\n"));
    soon("the end of serving", &mut door.served)
        .await
        .unwrap()
        .unwrap();
    for endpoint in [&upstream.endpoint, &silent.endpoint] {
        door.idle(endpoint).await;
    }
}
