//! Prompts that are repeated, and scored.

use super::*;

/// What was told of each token: the token, whether it is told how likely it was, and its place in the text.
async fn told(mut stream: EventStream) -> (String, Vec<(u32, bool, usize)>, Event) {
    let (mut text, mut tokens) = (String::new(), Vec::new());
    loop {
        match stream.next().await {
            Event::Text(more) => {
                text.push_str(&more.text);
                let more = more.logprobs.into_iter();
                tokens.extend(more.map(|it| (it.token, it.logprob.is_some(), it.offset)));
            }
            last => return (text, tokens, last),
        }
    }
}

#[tokio::test]
async fn a_prompt_is_repeated_and_each_of_its_tokens_told_once() {
    // A cache in which they are taken back, and one in which they are not.
    for blocks in [5, 64] {
        let mut toy = ToyLm::new("abcdefghij");
        (toy.context, toy.blocks) = (40, blocks);
        let engine = start_with(
            toy,
            BatchLimits {
                sequences: 4,
                queue: QueueBounds::of_requests(8),
            },
        );
        let streams: Vec<_> = ["one prompt", "one prompt", "Köln", "x"]
            .map(|prompt| {
                let mut request = ask(prompt);
                (request.echo, request.logprobs) = (true, Some(0));
                // What is repeated ends no answer.
                request.stop = vec!["pt".to_owned()];
                (prompt, engine.submit(request).unwrap())
            })
            .into();
        for (prompt, stream) in streams {
            let (text, tokens, last) = told(stream).await;
            let whole = format!("{prompt}abcdefghij");
            assert_eq!(text, whole);
            assert_eq!(last, finished(FinishReason::Stop, prompt.len(), 11));
            let expected = whole.char_indices().enumerate();
            let expected = expected.flat_map(|(offset, (at, letter))| {
                let bytes = whole.as_bytes()[at..at + letter.len_utf8()].iter();
                bytes.map(move |byte| (u32::from(*byte), offset))
            });
            let expected = expected
                .enumerate()
                .map(|(at, (token, offset))| (token, at > 0, offset));
            assert_eq!(tokens, expected.collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn a_prompt_alone_is_read_and_nothing_is_written() {
    let engine = start(ToyLm::new("answer"), 4);
    for (echo, logprobs, text, tokens) in [
        (true, Some(2), "hi", 2),
        (true, None, "hi", 0),
        (false, Some(2), "", 0),
    ] {
        let mut request = ask("hi");
        (request.echo, request.logprobs, request.max_tokens) = (echo, logprobs, 0);
        let (read, told, last) = told(engine.submit(request).unwrap()).await;
        assert_eq!((read.as_str(), told.len()), (text, tokens));
        assert_eq!(last, finished(FinishReason::Length, 2, 0));
    }
}
