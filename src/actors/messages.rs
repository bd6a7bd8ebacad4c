//! Every message between actors, in one place. They are small: pixels travel as paths, work lies in the journal.
//!
//! A message is a hint that there is work in the journal; losing one delays nothing that must not be delayed, because a restarted
//! actor looks into the journal by itself.

use crate::model::{DeadlineName, FrameRecord, ProductKey};
use actix::Message;

/// Alert receiver → trigger manager: a new packet is journaled. Idempotent by the packet's SHA-256.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct NoticeReceived {
    /// Journal id of the packet.
    pub alert_id: i64,
}

/// Trigger manager → GP1 instances: the merged view of a burst changed. Idempotent by burst and revision.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct TriggerChanged {
    pub burst_id: String,
    pub revision: u32,
}

/// GP1 instance → trigger manager: this frame names a burst that no notice opened. Answered when the trigger is
/// in the journal (or cannot be opened: then with the reason).
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), String>")]
pub struct OpenFromFrame {
    pub frame: Box<FrameRecord>,
}

/// Image provider → GP1 instance or calibration master: a complete frame is journaled. Idempotent by frame identity.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct FrameArrived {
    pub frame_id: i64,
}

/// GP1 instance → status collector: a frame is reduced and measured.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct FrameReduced {
    pub frame: Box<FrameRecord>,
}

/// Trigger manager → GP1 `svom`: an instant has come at which products must go out. Idempotent by burst and deadline.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct DeadlineDue {
    pub burst_id: String,
    pub deadline: DeadlineName,
}

/// GP1 `svom` → product maker: the result of a deadline is journaled. Idempotent by burst and deadline.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct AnalysisReady {
    pub burst_id: String,
    pub deadline: DeadlineName,
}

/// Product maker → uploader: a product is in the outbox. Idempotent by product key.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ProductReady {
    pub key: ProductKey,
}

/// Uploader → trigger manager: the last receipt of a deadline is stored. Idempotent by burst and deadline.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Delivered {
    pub burst_id: String,
    pub deadline: DeadlineName,
}

/// Calibration master → GP1 instances: a master took force. Idempotent by its hash.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct MasterPromoted {
    pub sha256: String,
}

/// Calibration master ← command or end of a quiet time: make the masters of what has arrived.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct MakeMasters;

/// Anybody → any actor: look into the journal. It says nothing that the journal does not.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Nudge;
