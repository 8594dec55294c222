//! The official OpenAI client against `chandler up` with both sample manifests.

use chandler_e2e::{Chandler, layout};
use std::process::Command;

#[test]
fn the_official_client_is_content() {
    layout::model(layout::EMBEDDING_MODEL).expect("the embeddings model");
    layout::model(layout::CHAT_MODEL).expect("the chat model");
    let python = layout::client_python().expect("the client's Python");
    let manifests = [
        "-f",
        "config/samples/embeddings.yaml",
        "-f",
        "config/samples/chat.yaml",
    ];
    let chandler = Chandler::up("127.0.0.1:0", &manifests).expect("chandler starts");
    let api = chandler.api().expect("the gateway listens");
    chandler
        .wait_ready("embeddings")
        .expect("the embeddings model loads");
    chandler.wait_ready("chat").expect("the chat model loads");

    let result = Command::new(python)
        .arg(layout::root().join("e2e/client/client_test.py"))
        .arg(format!("{}/v1", api.base()))
        .output()
        .expect("the client runs");
    let told = String::from_utf8_lossy(&result.stdout);
    let failed = String::from_utf8_lossy(&result.stderr);
    println!("{told}{failed}");
    assert!(
        result.status.success(),
        "the client's checks failed; see above"
    );
    chandler.stop().expect("a clean end");
}
