use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::response::Response;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use tokio::time::Instant;

use super::Observers;
use super::trace::{TRACEPARENT_LENGTH, Trace, new_span, write_hex};
use crate::headers;
use crate::in_flight::Seat;

/// Longest name of a request that is taken from its caller, bytes.
const LONGEST_ID: usize = 128;
/// Longest name of a model that is told of, bytes: any text can stand there.
const LONGEST_MODEL: usize = 256;
/// The status of a request whose caller left before it had one.
const CALLER_GONE: u16 = 499;

/// One request from its head to the end of its answer. Clones tell of the same request; when the
/// last of them is dropped it is over, and told.
#[derive(Debug, Clone)]
pub(crate) struct AccessRecord(Arc<Record>);

pub(super) struct Record {
    observers: Arc<Observers>,
    pub(super) at: SystemTime,
    pub(super) began: Instant,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) id: HeaderValue,
    pub(super) trace: Trace,
    told: Mutex<Told>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Record");
        told.field("id", &self.id).finish_non_exhaustive()
    }
}

/// What is known of a request so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) model: String,
    pub(super) account: String,
    pub(super) outcome: Outcome,
    /// Why the gateway itself answered or ended an answer; empty if it did not.
    pub(super) reason: &'static str,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// From the head of the request to the first byte of the answer's body.
    pub(super) first_byte: Option<Duration>,
    pub(super) attempts: Vec<Attempted>,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The caller left before the end.
    #[default]
    CallerGone,
    /// All of it was sent.
    Complete,
    /// It was ended before it was complete.
    Cut,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::CallerGone => "callerGone",
            Self::Complete => "complete",
            Self::Cut => "cut",
        }
    }
}

/// One try at a replica.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) seat: Arc<Seat>,
    pub(super) span: u64,
    pub(super) began: Instant,
    pub(super) ended: Option<Instant>,
    pub(super) status: Option<u16>,
    pub(super) reason: &'static str,
}

impl AccessRecord {
    /// Begins to tell of a request.
    pub(crate) fn begin<B>(observers: &Arc<Observers>, request: &mut Request<B>) -> Self {
        let fields = request.headers_mut();
        let sample = |trace| observers.sampled(trace);
        let trace = Trace::from_headers(fields, rand::random, sample);
        let record = Record {
            observers: Arc::clone(observers),
            at: SystemTime::now(),
            began: Instant::now(),
            id: name(fields),
            trace,
            method: request.method().clone(),
            uri: request.uri().clone(),
            told: Mutex::default(),
        };
        Self(Arc::new(record))
    }

    /// That which a request carries as an extension; one of its own, which nobody hears of, for a
    /// request that came by no connection of the gateway's.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let known = extensions.get().cloned();
        known.unwrap_or_else(|| Self::begin(&Arc::default(), &mut Request::new(())))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model that the caller asked for.
    pub(crate) fn model(&self, name: &str) {
        let mut end = name.len().min(LONGEST_MODEL);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name[..end].clone_into(&mut self.told().model);
    }

    /// Whose key the caller has: a name, never the key.
    pub(crate) fn account(&self, name: &str) {
        name.clone_into(&mut self.told().account);
    }

    /// A try at a replica begins; it ends when what is given back is dropped.
    pub(crate) fn attempt(&self, seat: Arc<Seat>, began: Instant) -> Attempt {
        let span = new_span();
        let attempts = &mut self.told().attempts;
        attempts.push(Attempted {
            seat,
            span,
            began,
            ended: None,
            status: None,
            reason: "",
        });
        Attempt {
            record: self.clone(),
            number: attempts.len() - 1,
            span,
            began,
        }
    }

    /// The request's name, which its answer gets.
    pub(crate) fn id(&self) -> &HeaderValue {
        &self.0.id
    }

    /// When the head of the request had come.
    pub(crate) fn began(&self) -> Instant {
        self.0.began
    }

    /// The head of the answer.
    pub(crate) fn answered(&self, response: &Response) {
        let mut told = self.told();
        told.status = response.status().as_u16();
        if let Some(Refusal(reason)) = response.extensions().get() {
            told.reason = reason;
        }
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.told().bytes_in += bytes as u64;
    }

    pub(crate) fn sent(&self, bytes: usize) {
        let mut told = self.told();
        if told.first_byte.is_none() {
            told.first_byte = Some(self.0.began.elapsed());
        }
        told.bytes_out += bytes as u64;
    }

    pub(crate) fn completed(&self) {
        let mut told = self.told();
        if told.outcome == Outcome::CallerGone {
            told.outcome = Outcome::Complete;
        }
    }

    /// The answer's body broke off, and so the connection does.
    pub(crate) fn broke(&self) {
        self.told().outcome = Outcome::Cut;
    }
}

/// Marks an answer of the gateway's own with why it gave it, in CamelCase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal(pub(crate) &'static str);

/// The caller's name of the request if it is fit to be logged, else a new one.
fn name(fields: &HeaderMap) -> HeaderValue {
    if let Some(id) = fields.get(&headers::REQUEST_ID)
        && !id.is_empty()
        && id.len() <= LONGEST_ID
        && id.to_str().is_ok()
    {
        return id.clone();
    }
    let mut new = *b"req-00000000000000000000000000000000";
    write_hex(rand::random(), &mut new[4..]);
    HeaderValue::from_bytes(&new).unwrap_or(HeaderValue::from_static("req"))
}

impl Record {
    /// All that was told, at the end.
    pub(super) fn take_told(&self) -> Told {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = std::mem::take(&mut *told);
        if told.status == 0 {
            told.status = CALLER_GONE;
        }
        told
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.observers.ended(self);
    }
}

/// A try at a replica that goes on. Dropped without a word, it was given up.
#[derive(Debug)]
pub(crate) struct Attempt {
    record: AccessRecord,
    number: usize,
    span: u64,
    began: Instant,
}

impl Attempt {
    /// The `traceparent` that makes the request to the replica a part of the caller's trace.
    pub(crate) fn trace(&self) -> [u8; TRACEPARENT_LENGTH] {
        self.record.0.trace.parent_of(self.span)
    }

    /// When it began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The request's name.
    pub(crate) fn request_id(&self) -> &HeaderValue {
        &self.record.0.id
    }

    /// The replica sent the head of an answer.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.note(|attempted| attempted.status = Some(status.as_u16()));
    }

    /// The replica gave no answer, or not all of it.
    pub(crate) fn failed(&self, reason: &'static str) {
        self.note(|attempted| attempted.reason = reason);
    }

    /// The gateway ends an answer that has begun, because the replica does not.
    pub(crate) fn cut(&self, reason: &'static str) {
        self.failed(reason);
        let mut told = self.record.told();
        (told.outcome, told.reason) = (Outcome::Cut, reason);
    }

    fn note(&self, change: impl FnOnce(&mut Attempted)) {
        if let Some(attempted) = self.record.told().attempts.get_mut(self.number) {
            change(attempted);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.note(|attempted| attempted.ended = Some(Instant::now()));
    }
}
