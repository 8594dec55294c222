//! What reaches the disk: once, whole, and nothing else.

use std::sync::atomic::Ordering;

use chandler_source::{Phase, Progress, Source, fetch};

use crate::support::{FIRST_COMMIT, Fault, SOURCE, WEIGHTS, sha256};
use crate::{Setup, Told, size};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_model_is_locked_and_fetched() {
    let setup = Setup::new().await;
    let lock = setup.resolve().await.unwrap();
    assert_eq!(
        (lock.source.as_str(), lock.commit.as_deref()),
        (SOURCE, Some(FIRST_COMMIT))
    );
    let paths: Vec<&str> = lock.files.iter().map(|file| file.path.as_str()).collect();
    let wanted = [
        "1_Pooling/config.json",
        "config.json",
        WEIGHTS,
        "tokenizer.json",
    ];
    assert_eq!(paths, wanted);
    let told = Told::default();
    let model = setup
        .fetch_with(&lock, &|progress| told.hear(progress))
        .await
        .unwrap();
    for (file, path) in lock.files.iter().zip(&model.files) {
        let found = std::fs::read(path).unwrap();
        assert_eq!(found, setup.hub.content(&file.path));
        assert_eq!(
            (found.len() as u64, sha256(&found)),
            (file.size, file.sha256.clone())
        );
    }
    assert!(
        model
            .root
            .ends_with(format!("models/acme/tiny/{FIRST_COMMIT}"))
    );
    assert_progress(&told.all(), lock.total_size());
    // Resolving has brought the smallest files.
    let weights = setup.hub.content(WEIGHTS).len() as u64;
    let received = told.all().last().unwrap().bytes_received;
    assert!(received >= weights && received < lock.total_size());
}

fn assert_progress(told: &[Progress], bytes_total: u64) {
    let last = told.last().unwrap();
    assert_eq!(
        (last.phase, last.bytes_done, last.bytes_total),
        (Phase::Verifying, bytes_total, bytes_total)
    );
    assert!(
        told.iter()
            .any(|p| p.phase == Phase::Downloading && p.bytes_done > 0)
    );
    assert!(told.iter().all(|p| p.bytes_done <= p.bytes_total));
}

#[tokio::test]
async fn what_is_cached_is_not_asked_for_again() {
    let setup = Setup::new().await;
    let lock = setup.resolve().await.unwrap();
    setup.fetch(&lock).await.unwrap();
    let counts = setup.hub.counts();
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert_eq!(setup.resolve().await.unwrap(), lock);
    let told = Told::default();
    let hear = |progress| told.hear(progress);
    setup.assert_whole(&setup.fetch_with(&lock, &hear).await.unwrap());
    assert!(told.all().iter().all(|it| it.bytes_received == 0));
    assert_eq!(setup.hub.counts(), counts);
}

#[tokio::test]
async fn two_tasks_download_each_file_once() {
    let setup = Setup::new().await;
    setup.hub.spoil(WEIGHTS, [Fault::Hold(2 * MIB)]);
    let one = async {
        let lock = setup.resolve().await.unwrap();
        setup.fetch(&lock).await.unwrap()
    };
    let two = async {
        let lock = setup.resolve().await.unwrap();
        // Until here the first can't have finished the weights.
        setup.hub.release();
        setup.fetch(&lock).await.unwrap()
    };
    let (one, two) = tokio::join!(one, two);
    assert_eq!(one, two);
    setup.assert_whole(&one);
    let counts = setup.hub.counts();
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

#[tokio::test]
async fn a_connection_cut_short_is_resumed_where_it_ended() {
    let setup = Setup::new().await;
    setup
        .hub
        .spoil(WEIGHTS, [Fault::Cut(3 * MIB), Fault::Cut(MIB / 2)]);
    let lock = setup.resolve().await.unwrap();
    setup.assert_whole(&setup.fetch(&lock).await.unwrap());
    let requests = setup.hub.requests(WEIGHTS);
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].range, None);
    let start = start_of(requests[2].range.as_deref());
    assert!(start > 2 * MIB as u64, "{start}");
    let total = setup.hub.content(WEIGHTS).len() as u64;
    assert_eq!(requests[2].served.load(Ordering::SeqCst), total - start);
}

fn start_of(range: Option<&str>) -> u64 {
    let text = range.unwrap().strip_prefix("bytes=").unwrap();
    text.strip_suffix('-').unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_fetch_that_was_given_up_is_resumed_by_the_next() {
    let setup = Setup::new().await;
    setup.hub.spoil(WEIGHTS, [Fault::Hold(3 * MIB)]);
    let lock = setup.resolve().await.unwrap();
    let partial = setup.blob(".partial");
    tokio::select! {
        _ = setup.fetch(&lock) => panic!("the hub holds the rest back"),
        () = async { while size(&partial) < 2 * MIB as u64 { tokio::task::yield_now().await; } } => {}
    }
    setup.assert_whole(&setup.fetch(&lock).await.unwrap());
    let requests = setup.hub.requests(WEIGHTS);
    assert_eq!(requests.len(), 2);
    let start = start_of(requests[1].range.as_deref());
    assert!(start >= 2 * MIB as u64, "{start}");
    let total = setup.hub.content(WEIGHTS).len() as u64;
    assert_eq!(requests[1].served.load(Ordering::SeqCst), total - start);
}

#[tokio::test]
async fn a_hub_that_ignores_ranges_is_read_from_the_start() {
    let setup = Setup::new().await;
    setup.hub.ignore_ranges();
    setup.hub.spoil(WEIGHTS, [Fault::Cut(3 * MIB)]);
    let lock = setup.resolve().await.unwrap();
    setup.assert_whole(&setup.fetch(&lock).await.unwrap());
    let requests = setup.hub.requests(WEIGHTS);
    assert_eq!(requests.len(), 2);
    assert!(start_of(requests[1].range.as_deref()) > 0);
    let total = setup.hub.content(WEIGHTS).len() as u64;
    assert_eq!(requests[1].served.load(Ordering::SeqCst), total);
}

#[tokio::test]
async fn a_hub_that_refuses_the_range_is_read_from_the_start() {
    let setup = Setup::new().await;
    setup
        .hub
        .spoil(WEIGHTS, [Fault::Cut(3 * MIB), Fault::Status(416, 0)]);
    let lock = setup.resolve().await.unwrap();
    setup.assert_whole(&setup.fetch(&lock).await.unwrap());
    let ranges: Vec<bool> = setup
        .hub
        .requests(WEIGHTS)
        .iter()
        .map(|r| r.range.is_some())
        .collect();
    assert_eq!(ranges, [false, true, false]);
}

#[tokio::test]
async fn a_hub_that_always_cuts_short_is_not_asked_for_ever() {
    let setup = Setup::new().await;
    setup.hub.ignore_ranges();
    setup
        .hub
        .spoil(WEIGHTS, std::iter::repeat_n(Fault::Cut(3 * MIB), 50));
    let lock = setup.resolve().await.unwrap();
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_eq!(
        (error.reason(), error.is_transient()),
        ("Truncated", true),
        "{error}"
    );
    let requests = setup.hub.requests(WEIGHTS).len();
    assert!((2..=7).contains(&requests), "{requests}");
}

#[tokio::test]
async fn other_bytes_than_were_locked_are_thrown_away() {
    let setup = Setup::new().await;
    setup.hub.spoil(WEIGHTS, [Fault::Corrupt]);
    let lock = setup.resolve().await.unwrap();
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_eq!(
        (error.reason(), error.is_transient()),
        ("HashMismatch", false)
    );
    let mut other = setup.hub.content(WEIGHTS).to_vec();
    let expected = sha256(&other);
    other[0] ^= 1;
    let message = error.to_string();
    assert!(
        message.contains(&expected) && message.contains(&sha256(&other)),
        "{message}"
    );
    assert!(!setup.blob("").exists() && !setup.blob(".partial").exists());
    setup.assert_whole(&setup.fetch(&lock).await.unwrap());
    assert_eq!(setup.hub.requests(WEIGHTS).len(), 2);
}

#[tokio::test]
async fn a_small_file_with_other_bytes_is_not_locked() {
    let setup = Setup::new().await;
    setup.hub.spoil("config.json", [Fault::Corrupt]);
    let error = setup.resolve().await.unwrap_err();
    assert_eq!(error.reason(), "HashMismatch");
    assert!(error.to_string().contains("config.json"), "{error}");
    setup.resolve().await.unwrap();
}

#[tokio::test]
async fn a_damaged_start_of_a_download_costs_a_second_download_and_no_error() {
    let setup = Setup::new().await;
    let lock = setup.resolve().await.unwrap();
    std::fs::write(setup.blob(".partial"), vec![0; 1000]).unwrap();
    setup.assert_whole(&setup.fetch(&lock).await.unwrap());
    let requests = setup.hub.requests(WEIGHTS);
    let ranges: Vec<Option<&str>> = requests.iter().map(|r| r.range.as_deref()).collect();
    assert_eq!(ranges, [Some("bytes=1000-"), None]);
}

#[tokio::test]
async fn a_download_longer_than_the_file_is_started_over() {
    let setup = Setup::new().await;
    let lock = setup.resolve().await.unwrap();
    std::fs::write(setup.blob(".partial"), vec![0; 6 * MIB]).unwrap();
    setup.assert_whole(&setup.fetch(&lock).await.unwrap());
    assert_eq!(setup.hub.requests(WEIGHTS)[0].range, None);
}

#[tokio::test]
async fn a_file_that_changed_in_the_cache_is_downloaded_again() {
    let setup = Setup::new().await;
    let lock = setup.resolve().await.unwrap();
    setup.fetch(&lock).await.unwrap();
    for damage in [vec![9; 5 * MIB], vec![9; 10]] {
        std::fs::write(setup.blob(""), damage).unwrap();
        let told = Told::default();
        let model = setup
            .fetch_with(&lock, &|progress| told.hear(progress))
            .await
            .unwrap();
        setup.assert_whole(&model);
        assert_progress(&told.all(), lock.total_size());
    }
    assert_eq!(setup.hub.requests(WEIGHTS).len(), 3);
}

#[tokio::test]
async fn a_length_other_than_the_listed_one_is_refused() {
    for fault in [Fault::TooLong, Fault::TooShort] {
        let setup = Setup::new().await;
        setup.hub.spoil(WEIGHTS, [fault]);
        let lock = setup.resolve().await.unwrap();
        let error = setup.fetch(&lock).await.unwrap_err();
        assert_eq!(
            (error.reason(), error.is_transient()),
            ("SizeMismatch", false),
            "{fault:?}"
        );
        assert!(!setup.blob("").exists());
    }
}

#[tokio::test]
async fn a_lock_is_served_after_its_branch_has_moved() {
    let setup = Setup::new().await;
    let lock = setup.resolve().await.unwrap();
    let old = setup.hub.content(WEIGHTS);
    let commit = "2222222222222222222222222222222222222222";
    setup.hub.move_main(commit, 2);
    let model = setup.fetch(&lock).await.unwrap();
    assert_eq!(std::fs::read(model.root.join(WEIGHTS)).unwrap(), old);
    let moved = setup.resolve().await.unwrap();
    assert_eq!(moved.commit.as_deref(), Some(commit));
    setup.assert_whole(&setup.fetch(&moved).await.unwrap());
    let again = setup.resolve_as(SOURCE, FIRST_COMMIT).await.unwrap();
    assert_eq!(again, lock);
}

#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    let setup = Setup::new().await;
    let lock = setup.resolve().await.unwrap();
    std::os::unix::fs::symlink("/dev/full", setup.blob(".partial")).unwrap();
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_eq!(
        (error.reason(), error.is_transient()),
        ("DiskFull", true),
        "{error}"
    );
    assert!(error.to_string().contains("CHANDLER_CACHE"), "{error}");
}

#[tokio::test]
async fn a_lock_that_leads_elsewhere_is_refused() {
    let setup = Setup::new().await;
    let lock = setup.resolve().await.unwrap();
    let source = Source::parse("hf://acme/other").unwrap();
    let error = fetch(&lock, &source, &setup.hub.access(), &setup.cache, &|_| ())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "InvalidLock");
    let mut changed = lock.clone();
    changed.files[0].path = "../../escape".into();
    assert_eq!(
        setup.fetch(&changed).await.unwrap_err().reason(),
        "UnsafePath"
    );
    changed = lock.clone();
    changed.files[0].sha256 = "../../escape".into();
    assert_eq!(
        setup.fetch(&changed).await.unwrap_err().reason(),
        "InvalidLock"
    );
    changed = lock.clone();
    changed.commit = Some("../..".into());
    assert_eq!(
        setup.fetch(&changed).await.unwrap_err().reason(),
        "InvalidLock"
    );
    changed = lock.clone();
    changed.files.clear();
    assert_eq!(
        setup.fetch(&changed).await.unwrap_err().reason(),
        "InvalidLock"
    );
    changed = lock;
    changed.files[0].size = u64::MAX;
    assert_eq!(
        setup.fetch(&changed).await.unwrap_err().reason(),
        "SizeMismatch"
    );
}

#[tokio::test]
async fn a_fetch_can_move_between_threads() {
    fn assert_send<T: Send>(value: T) -> T {
        value
    }
    let setup = Setup::new().await;
    let source = Source::parse(SOURCE).unwrap();
    let access = setup.hub.access();
    let resolving = chandler_source::resolve(&source, None, &access, &setup.cache);
    let lock = assert_send(resolving).await.unwrap();
    let fetching = fetch(&lock, &source, &access, &setup.cache, &|_| ());
    setup.assert_whole(&assert_send(fetching).await.unwrap());
}
