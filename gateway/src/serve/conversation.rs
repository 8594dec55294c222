use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{Method, Request, Version, request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::answer::{Answer, AnswerEnd};
use super::body::Paced;
use super::connection::Door;
use super::line::{LineError, Shared};
use super::pulse::Pulse;
use crate::alarm::Alarm;
use crate::errors::GatewayError;
use crate::http1::{Framing, Malformed, Said};
use crate::observe::AccessRecord;
use crate::routes;
use crate::signal::Ear;

/// Longest head of a request, bytes, after which the connection goes on. One that is longer than
/// [`MAX_HEAD`](crate::http1::MAX_HEAD) is not even read to its end.
const MAX_GOOD_HEAD: usize = 32 << 10;
/// How long a caller that is still sending may take to see that it has been answered.
const LINGER: Duration = Duration::from_secs(2);

/// The requests of one connection, one after the other.
pub(super) struct Conversation<'a, S> {
    line: Shared<S>,
    pulse: Arc<Pulse>,
    door: &'a Arc<Door>,
}

/// What a connection's requests wait for, one after the other.
struct Waits<'a> {
    /// The signal that ends what is in flight.
    ending: Ear<'a>,
    /// The time that the caller has.
    alarm: Alarm,
}

/// A connection's request from its head to the end of its answer.
struct Turn<'a>(&'a Pulse);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.request_ended(Instant::now());
    }
}

impl<'a, S> Conversation<'a, S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(super) fn new(stream: S, pulse: Arc<Pulse>, door: &'a Arc<Door>) -> Self {
        Self {
            line: Shared::new(stream, Arc::clone(&pulse)),
            pulse,
            door,
        }
    }

    /// Until the caller leaves, or has to.
    pub(super) async fn run(self) -> Result<(), LineError> {
        let inner = self.door.gateway.inner();
        let mut draining = inner.draining.ear();
        let mut waits = Waits {
            ending: inner.ending.ear(),
            alarm: Alarm::after(inner.config.request_timeout),
        };
        loop {
            let (head, said) = match self.head(&mut draining).await {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(LineError::Malformed(why)) if why != Malformed::Short => {
                    self.refuse(why).await?;
                    break;
                }
                Err(error) => return Err(error),
            };
            let framing = match Framing::of_request(head.version, &said) {
                Ok(framing) => framing,
                Err(why) => {
                    self.refuse(why).await?;
                    break;
                }
            };
            let _turn = Turn(&self.pulse);
            if !self.answer(head, &said, framing, &mut waits).await? {
                break;
            }
        }
        let closed = poll_fn(|cx| self.line.lock().poll_shutdown(cx)).await;
        Ok(closed?)
    }

    /// The next request's head; `None` at the end, or once no more are welcome.
    async fn head(
        &self,
        draining: &mut Ear<'_>,
    ) -> Result<Option<(request::Parts, Said)>, LineError> {
        poll_fn(|cx| {
            let mut line = self.line.lock();
            if let Poll::Ready(head) = line.poll_head(cx) {
                return Poll::Ready(head);
            }
            if !line.has_begun() && draining.poll(cx).is_ready() {
                return Poll::Ready(Ok(None));
            }
            Poll::Pending
        })
        .await
    }

    /// Answers a request; whether another one may follow.
    async fn answer(
        &self,
        head: request::Parts,
        said: &Said,
        framing: Framing,
        waits: &mut Waits<'_>,
    ) -> Result<bool, LineError> {
        let inner = self.door.gateway.inner();
        let (version, bodiless) = (head.version, head.method == Method::HEAD);
        let keeps = said.keeps_open(version);
        let asks_first = version == Version::HTTP_11 && said.expects;
        self.line.lock().begin_body(framing, asks_first);
        let mut request = Request::from_parts(head, ());
        let record = AccessRecord::begin(&inner.observers, &mut request);
        let Waits { ending, alarm } = waits;
        let response = {
            let mut response = pin!(self.respond(request, said, &record, alarm));
            poll_fn(|cx| {
                // Whoever answers looks for itself.
                let _ = ending.poll(cx);
                if let Poll::Ready(response) = response.as_mut().poll(cx) {
                    return Poll::Ready(Some(response));
                }
                self.line.lock().poll_gone(cx).map(|()| None)
            })
            .await
        };
        // By a caller that has gone, all that was done for it is dropped.
        let Some(response) = response else {
            return Ok(false);
        };
        record.answered(&response);
        // A caller that keeps its connection would come back by it as long as it is open.
        let leaving = inner.leaving.load(Ordering::Relaxed);
        let rest = self.line.lock().drop_body();
        let answer = Answer {
            version,
            bodiless,
            keeps_open: keeps && rest && !leaving,
        };
        let ended = answer.send(&self.line, response, &record).await?;
        if !rest {
            self.linger().await;
        }
        Ok(ended == AnswerEnd::KeepOpen)
    }

    async fn respond(
        &self,
        request: Request<()>,
        said: &Said,
        record: &AccessRecord,
        alarm: &mut Alarm,
    ) -> Response {
        let inner = self.door.gateway.inner();
        let target = request.uri().path_and_query();
        let target = target.map_or(0, |target| target.as_str().len());
        if target + said.size > MAX_GOOD_HEAD {
            let limit = MAX_GOOD_HEAD;
            let error = GatewayError::HeadTooLarge { limit };
            inner.metrics.refused(error.status());
            return error.into_response();
        }
        let (line, pulse) = (self.line.clone(), Arc::clone(&self.pulse));
        let body = Paced::new(line, inner.config.pace, pulse, record.clone());
        let request = request.map(|()| body);
        let (gateway, router) = (&self.door.gateway, &self.door.router);
        routes::answer(gateway, router, request, record.clone(), alarm).await
    }

    /// Answers what can't be read, after which nobody knows where the next request begins.
    async fn refuse(&self, why: Malformed) -> Result<(), LineError> {
        let inner = self.door.gateway.inner();
        let error = match why {
            Malformed::HeadTooLong | Malformed::TooManyFields => GatewayError::HeadTooLarge {
                limit: MAX_GOOD_HEAD,
            },
            why => GatewayError::Malformed(why.to_string()),
        };
        inner.metrics.refused(error.status());
        let answer = Answer {
            version: Version::HTTP_11,
            bodiless: false,
            keeps_open: false,
        };
        let mut request = Request::new(());
        let record = AccessRecord::begin(&inner.observers, &mut request);
        let response = error.into_response();
        record.answered(&response);
        answer.send(&self.line, response, &record).await?;
        self.linger().await;
        Ok(())
    }

    /// A caller that is still sending when its connection closes may never see its answer: the
    /// system throws that away. So it is told that nothing more comes, and heard for a while.
    async fn linger(&self) {
        let mut left = self.door.gateway.inner().config.discard_limit;
        let lingering = async {
            poll_fn(|cx| self.line.lock().poll_shutdown(cx)).await?;
            while left > 0 {
                let read = poll_fn(|cx| self.line.lock().poll_discard(cx)).await?;
                if read == 0 {
                    break;
                }
                left = left.saturating_sub(read);
            }
            Ok::<_, std::io::Error>(())
        };
        // However it ends, the connection does.
        let _ = timeout(LINGER, lingering).await;
    }
}
