use super::*;
use crate::engine::Liveness;
use crate::engine::testing::{Gate, ToyEmbedder};

fn start(toy: ToyEmbedder, max_batch: Option<usize>, max_queue: usize) -> EmbeddingEngine {
    let metrics = Arc::new(Metrics::new("m").unwrap());
    EmbeddingEngine::start(
        Box::new(toy),
        max_batch,
        QueueBounds::of_requests(max_queue),
        metrics,
    )
    .unwrap()
}

fn job(lengths: &[usize]) -> Job {
    let (answer, receiver) = oneshot::channel();
    // The tests of the batch alone need no receiver that stays.
    drop(receiver);
    Job {
        inputs: lengths.iter().map(|length| vec![1; *length]).collect(),
        taken: 0,
        vectors: Vec::new(),
        recorder: Recorder::arrive(None),
        answer,
        deadline: Deadline::NEVER,
    }
}

fn batches(jobs: &[&[usize]], max_batch: usize) -> Vec<Vec<usize>> {
    let mut jobs: VecDeque<Job> = jobs.iter().map(|lengths| job(lengths)).collect();
    let mut all = Vec::new();
    loop {
        let batch = take_batch(&mut jobs, max_batch);
        if batch.is_empty() {
            return all;
        }
        all.push(batch.iter().map(|input| input.len()).collect());
    }
}

#[test]
fn a_batch_keeps_the_order_and_the_budget() {
    let budget = BATCH_TOKENS;
    let taken = batches(&[&[10, 20], &[budget - 30], &[1]], usize::MAX);
    assert_eq!(taken, [vec![10, 20, budget - 30], vec![1]]);
    let taken = batches(&[&[budget + 5, 3], &[4]], usize::MAX);
    assert_eq!(taken, [vec![budget + 5], vec![3, 4]]);
    let taken = batches(&[&[1, 2, 3], &[4]], 2);
    assert_eq!(taken, [vec![1, 2], vec![3, 4]]);
}

#[tokio::test]
async fn what_waits_while_the_device_runs_is_the_next_batch() {
    let mut toy = ToyEmbedder::new();
    let (steps, gate) = Gate::shut();
    toy.gate = gate;
    let sizes = Arc::clone(&toy.batches);
    let engine = start(toy, None, 10);
    let first = engine
        .submit(vec![vec![1, 2]], true, Deadline::NEVER)
        .unwrap();
    while engine.engine().stats().running == 0 {
        tokio::task::yield_now().await;
    }
    let second = engine
        .submit(vec![vec![3], vec![4]], true, Deadline::NEVER)
        .unwrap();
    let third = engine
        .submit(vec![vec![5, 6]], true, Deadline::NEVER)
        .unwrap();
    drop(steps);
    assert_eq!(first.await.unwrap().unwrap(), [vec![2.0, 3.0, 1.0]]);
    let second = second.await.unwrap().unwrap();
    assert_eq!(second, [vec![1.0, 3.0, 1.0], vec![1.0, 4.0, 1.0]]);
    assert_eq!(third.await.unwrap().unwrap(), [vec![2.0, 11.0, 1.0]]);
    assert_eq!(*sizes.lock().unwrap(), [1, 3]);
}

#[tokio::test]
async fn a_request_larger_than_a_batch_gets_all_its_vectors() {
    let toy = ToyEmbedder::new();
    let sizes = Arc::clone(&toy.batches);
    let engine = start(toy, Some(4), 10);
    let inputs: Vec<Vec<u32>> = (1..=10).map(|id| vec![id]).collect();
    let vectors = engine
        .submit(inputs, true, Deadline::NEVER)
        .unwrap()
        .await
        .unwrap()
        .unwrap();
    let sums: Vec<f32> = vectors.iter().map(|vector| vector[1]).collect();
    assert_eq!(sums, [1., 2., 3., 4., 5., 6., 7., 8., 9., 10.]);
    assert_eq!(*sizes.lock().unwrap(), [4, 4, 2]);
    assert_eq!(engine.metrics.prompt_tokens.get(), 10);
}

#[tokio::test]
async fn vectors_that_come_too_late_are_not_given() {
    let mut toy = ToyEmbedder::new();
    let (steps, gate) = Gate::shut();
    toy.gate = gate;
    let sizes = Arc::clone(&toy.batches);
    let engine = start(toy, None, 10);
    let deadline = Deadline::after(std::time::Duration::from_secs(1));
    let running = engine.submit(vec![vec![1]], true, deadline).unwrap();
    while engine.engine().stats().running == 0 {
        tokio::task::yield_now().await;
    }
    let waiting = engine.submit(vec![vec![2]], true, deadline).unwrap();
    assert_eq!(engine.engine().stats().waiting_tokens, 1);
    deadline.passed().await;
    drop(steps);
    for late in [running, waiting] {
        assert_eq!(late.await.unwrap(), Err(EngineError::TimeIsUp));
    }
    let next = engine.submit(vec![vec![3]], true, Deadline::NEVER).unwrap();
    assert!(next.await.unwrap().is_ok());
    assert_eq!(
        *sizes.lock().unwrap(),
        [1, 1],
        "what waited was not computed"
    );
}

#[tokio::test]
async fn a_failed_batch_fails_its_requests_and_the_engine_goes_on() {
    let engine = start(ToyEmbedder::new(), None, 10);
    let bad = engine
        .submit(vec![vec![u32::from(b'#')]], true, Deadline::NEVER)
        .unwrap();
    let error = bad.await.unwrap().unwrap_err();
    assert_eq!(error.reason(), "ModelFailed");
    let good = engine.submit(vec![vec![7]], true, Deadline::NEVER).unwrap();
    assert_eq!(good.await.unwrap().unwrap(), [vec![1.0, 7.0, 1.0]]);
    assert_eq!(engine.engine().liveness(), Liveness::Alive);
}

#[tokio::test]
async fn a_full_queue_refuses_until_a_client_gives_up() {
    let mut toy = ToyEmbedder::new();
    let (_steps, gate) = Gate::shut();
    toy.gate = gate;
    let engine = start(toy, None, 1);
    let _running = engine.submit(vec![vec![1]], true, Deadline::NEVER).unwrap();
    while engine.engine().stats().running == 0 {
        tokio::task::yield_now().await;
    }
    let waiting = engine.submit(vec![vec![2]], true, Deadline::NEVER).unwrap();
    let refused = engine
        .submit(vec![vec![3]], true, Deadline::NEVER)
        .unwrap_err();
    assert!(matches!(refused, Refused::Busy { waiting: 1, .. }));
    assert_eq!(engine.engine().check_room().unwrap_err(), refused);
    drop(waiting);
    assert_eq!(engine.engine().stats().waiting, 0);
    assert!(engine.submit(vec![vec![4]], true, Deadline::NEVER).is_ok());
}
