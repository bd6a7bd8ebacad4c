//! How messages are sent: requests wait for room and for their answer, but never for ever; telemetry is dropped
//! and counted on a full mailbox. `do_send`, which ignores the mailbox's capacity, is forbidden (clippy.toml).

use super::supervision::Post;
use crate::model::metric;
use actix::{
    Actor, Context, Handler, Message,
    dev::{MessageResponse, ToEnvelope},
};
use std::time::Duration;

/// The longest the sender of a hint waits for room and for it to be taken: an actor that hangs must not hold those up
/// that have other things to do, and a busy machine must not make a simulated clock go on before the hint is heard.
const HINT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a hint and waits until it was taken. A receiver that is down is no error: it looks into the journal when it is back.
pub async fn hint<A, M>(receiver: &Post<A>, name: &'static str, message: M)
where
    A: Actor<Context = Context<A>> + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message<Result = ()> + Send + 'static,
    <A as Handler<M>>::Result: MessageResponse<A, M>,
{
    match tokio::time::timeout(HINT_TIMEOUT, receiver.address().send(message)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(receiver = name, %error, "hint not taken"),
        Err(_) => tracing::warn!(receiver = name, "hint not taken in time"),
    }
}

/// Sends what may be lost: dropped and counted when the mailbox is full.
pub fn tell<A, M>(receiver: &Post<A>, name: &'static str, message: M)
where
    A: Actor<Context = Context<A>> + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message<Result = ()> + Send + 'static,
{
    if receiver.address().try_send(message).is_err() {
        metrics::counter!(metric::MESSAGES_DROPPED, "receiver" => name).increment(1);
    }
}

/// Sends a request and waits for its answer, up to `timeout`.
pub async fn ask<A, M, T>(receiver: &Post<A>, message: M, timeout: Duration) -> Result<T, String>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message<Result = T> + Send + 'static,
    T: Send + 'static,
{
    match tokio::time::timeout(timeout, receiver.address().send(message)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", timeout.as_secs())),
    }
}
