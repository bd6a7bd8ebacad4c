//! The stream that tells a page that something changed (server-sent events, WHATWG HTML §9.2).

use super::api_error::ApiError;
use actix_web::{HttpResponse, http::header::CONTENT_TYPE, web::Bytes};
use futures_util::{Stream, stream};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};

/// At most two events a second, however fast the journal grows.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(500);
/// A comment at least this often: so that a broken connection is noticed, at both ends and by what stands between.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Streams open at a time.
const STREAM_LIMIT: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Pace {
    shortest_interval: Duration,
    keep_alive: Duration,
}

/// Hands out event streams.
#[derive(Debug, Clone)]
pub(super) struct EventStreams {
    pace: Pace,
    changes: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
    permits: Arc<Semaphore>,
}

/// One open stream.
struct Listener {
    pace: Pace,
    changes: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
    last_sent: Option<Instant>,
    _permit: OwnedSemaphorePermit,
}

impl EventStreams {
    /// `changes` counts the changes of the journal; the streams end when `stopped` turns true.
    pub fn new(changes: watch::Receiver<u64>, stopped: watch::Receiver<bool>) -> Self {
        Self {
            pace: Pace { shortest_interval: SHORTEST_INTERVAL, keep_alive: KEEP_ALIVE },
            changes,
            stopped,
            permits: Arc::new(Semaphore::new(STREAM_LIMIT)),
        }
    }

    /// A response that begins with the present count and goes on until the server stops or the reader leaves.
    pub fn open(&self) -> Result<HttpResponse, ApiError> {
        let permit =
            self.permits.clone().try_acquire_owned().map_err(|_| ApiError::TooManyStreams)?;
        Ok(HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "text/event-stream; charset=utf-8"))
            // Tells proxies of the nginx family not to collect the stream.
            .insert_header(("X-Accel-Buffering", "no"))
            .streaming(self.listen(permit)))
    }

    fn listen(
        &self,
        permit: OwnedSemaphorePermit,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + 'static {
        let listener = Listener {
            pace: self.pace,
            changes: self.changes.clone(),
            stopped: self.stopped.clone(),
            last_sent: None,
            _permit: permit,
        };
        stream::unfold(listener, |mut listener| async {
            let text = listener.next().await?;
            Some((Ok(Bytes::from(text)), listener))
        })
    }
}

impl Listener {
    /// The next piece of text, or nothing at the end.
    async fn next(&mut self) -> Option<String> {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            // An error means that the server is gone: the end as well.
            _ = stopped.wait_for(|stopped| *stopped) => None,
            text = self.wait() => text,
        }
    }

    async fn wait(&mut self) -> Option<String> {
        let Some(last_sent) = self.last_sent else {
            return Some(format!("retry: 2000\n{}", self.event()));
        };
        match tokio::time::timeout(self.pace.keep_alive, self.changes.changed()).await {
            Ok(Ok(())) => {
                tokio::time::sleep_until(last_sent + self.pace.shortest_interval).await;
                Some(self.event())
            }
            Ok(Err(_)) => None,
            Err(_) => Some(": still here\n\n".to_owned()),
        }
    }

    fn event(&mut self) -> String {
        self.last_sent = Some(Instant::now());
        format!("data: {{\"change\":{}}}\n\n", *self.changes.borrow_and_update())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    fn streams() -> (watch::Sender<u64>, watch::Sender<bool>, EventStreams) {
        let (changes, changed) = watch::channel(7);
        let (stop, stopped) = watch::channel(false);
        (changes, stop, EventStreams::new(changed, stopped))
    }

    #[tokio::test]
    async fn events_are_thinned_and_the_end_is_told() {
        let (changes, stop, mut streams) = streams();
        let pace = Pace {
            shortest_interval: Duration::from_millis(100),
            keep_alive: Duration::from_millis(300),
        };
        streams.pace = pace;
        let permit = streams.permits.clone().try_acquire_owned().unwrap();
        let mut stream = Box::pin(streams.listen(permit));
        let began = Instant::now();
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(first, "retry: 2000\ndata: {\"change\":7}\n\n");
        for count in 8..20 {
            changes.send(count).unwrap();
        }
        assert_eq!(stream.next().await.unwrap().unwrap(), "data: {\"change\":19}\n\n");
        assert!(began.elapsed() >= pace.shortest_interval);
        assert_eq!(stream.next().await.unwrap().unwrap(), ": still here\n\n");
        assert!(began.elapsed() >= pace.shortest_interval + pace.keep_alive);
        stop.send(true).unwrap();
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn there_is_a_limit_and_a_closed_stream_makes_room() {
        let (_changes, _stop, streams) = streams();
        let mut open: Vec<HttpResponse> =
            (0..STREAM_LIMIT).map(|_| streams.open().unwrap()).collect();
        assert!(matches!(streams.open(), Err(ApiError::TooManyStreams)));
        open.pop();
        assert!(streams.open().is_ok());
    }
}
