//! A made-up night for the tests of what is shown: one burst in full at T0 + 13 min, an older retracted one, and the
//! troubles of a real night (a lost astrometry, a failed frame, a rejected master, an upload that is repeated).

mod instruments;
mod science;

pub(super) use science::{afterglow, analysis};

use super::status::{Mode, Program, StatusSources};
use crate::{
    clock::Clock,
    model::{
        ActorSnapshot, ActorState, Deadline, DeadlineName, DeadlineState, DeliveryStatus, Notice,
        NoticeEffect, PositionEstimate, ProductKey, Receipt, Role, SkyPosition, T0Source, Trigger,
        TriggerOrigin, TriggerState, UtcTime,
    },
    storage::journal::{Journal, JournalError, alerts, analyses, events, products, triggers},
};
use rusqlite::Transaction;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

pub(super) const BURST: &str = "sb26110101";
const OLDER_BURST: &str = "sb26103007";
const ANALYSED: [DeadlineName; 3] =
    [DeadlineName::First, DeadlineName::Minutes(5), DeadlineName::Minutes(10)];

pub(super) fn t0() -> UtcTime {
    UtcTime::parse("2026-11-01T03:12:07.430").unwrap()
}

/// Seconds after T0.
fn after(seconds: f64) -> UtcTime {
    t0().plus_seconds(seconds)
}

fn region_centre() -> SkyPosition {
    SkyPosition::new(51.7290, 46.6500)
}

pub(super) fn due_at(name: DeadlineName) -> UtcTime {
    match name {
        DeadlineName::First => after(30.0 + 270.0),
        DeadlineName::Minutes(minutes) => after(60.0 * f64::from(minutes)),
    }
}

pub(super) struct MadeUpNight {
    directory: TempDir,
    pub journal: Journal,
}

impl MadeUpNight {
    pub async fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("gic.sqlite")).unwrap();
        Self { directory, journal }
    }

    pub async fn filled() -> Self {
        let night = Self::empty().await;
        night.fill().await;
        night
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the result file of a deadline and its cut-outs lie.
    pub fn result_directory(&self, deadline: DeadlineName) -> PathBuf {
        self.directory().join("workspace/26110101").join(deadline.to_string())
    }

    pub fn sources(&self) -> StatusSources {
        let now = after(784.0);
        let actors: Vec<ActorSnapshot> = [
            "alert-receiver",
            "trigger-manager",
            "image-provider",
            "gp1-colibri",
            "gp1-svom",
            "product-maker",
            "fsc-uploader",
            "calibration-master",
            "status-collector",
            "web",
        ]
        .iter()
        .map(|name| {
            let was_restarted = *name == "gp1-svom";
            ActorSnapshot {
                name: (*name).to_owned(),
                state: ActorState::Running,
                restarts: u64::from(was_restarted),
                last_exit: was_restarted
                    .then(|| "panic: a worker lost its frame at 20261101T031812C1o".to_owned()),
                last_restart_seconds: was_restarted.then_some(0.13),
                since: if was_restarted { after(391.0) } else { after(-900.0) },
            }
        })
        .collect();
        StatusSources {
            journal: self.journal.clone(),
            clock: Clock::simulated(now, 60.0, true),
            actors: Arc::new(move || actors.clone()),
            answers: Arc::new(Vec::new),
            program: Program::this(),
            mode: Mode::Simulate,
            started_at: after(-900.0),
            directory: self.directory().to_owned(),
        }
    }

    /// Writes the night into the journal and the cut-outs onto the disk.
    pub async fn fill(&self) {
        for deadline in ANALYSED {
            let directory = self.result_directory(deadline);
            fs::create_dir_all(directory.join("cutouts")).unwrap();
            let result = analysis(deadline);
            fs::write(directory.join("result.json"), serde_json::to_vec(&result).unwrap()).unwrap();
            for listed in &result.candidates {
                let name = listed.cutout.as_deref().unwrap();
                science::draw_cutout(listed, &directory.join(name));
            }
        }
        let root = self.directory().to_owned();
        self.journal
            .write(move |transaction| {
                write_alerts(transaction)?;
                write_triggers(transaction)?;
                instruments::write_frames(transaction)?;
                instruments::write_masters(transaction)?;
                for deadline in ANALYSED {
                    // As a relative path, which counts from the root of the storage.
                    let path = PathBuf::from("workspace/26110101")
                        .join(deadline.to_string())
                        .join("result.json");
                    assert!(root.join(&path).exists());
                    let made_at = due_at(deadline).plus_seconds(0.8);
                    analyses::save(transaction, &analysis(deadline), &path, made_at)?;
                }
                write_products(transaction)?;
                write_events(transaction)
            })
            .await
            .unwrap();
    }
}

fn notice(burst: &str, name: &str, packet_type: u32, effect: NoticeEffect, at: UtcTime) -> Notice {
    Notice {
        ivorn: format!("ivo://org.svom/fsc#{burst}_{name}"),
        role: Role::Test,
        mission: "SVOM".to_owned(),
        packet_type: Some(packet_type),
        packet_name: name.to_owned(),
        effect,
        instrument: None,
        burst_id: Some(burst.to_owned()),
        observation_id: None,
        notice_level: Some("N1".to_owned()),
        date: Some(at),
        event_time: Some(t0()),
        sequence_t0: Some(t0()),
        window_start: None,
        window_end: None,
        position: None,
        slew_status: None,
        importance: None,
        citations: Vec::new(),
        parameters: BTreeMap::new(),
    }
}

fn with_position(mut notice: Notice, radius_degrees: f64) -> Notice {
    notice.position =
        Some(PositionEstimate { position: region_centre(), radius_degrees: Some(radius_degrees) });
    notice
}

/// The packets of the burst with the seconds after T0 they came at.
fn notices() -> Vec<(f64, Notice)> {
    use NoticeEffect::{Opens, Refines};
    vec![
        (30.0, notice(BURST, "grm-trigger", 201, Opens, after(29.0))),
        (95.0, with_position(notice(BURST, "eclairs-wakeup", 202, Opens, after(94.0)), 0.105)),
        (260.0, with_position(notice(BURST, "slewing", 204, Refines, after(259.0)), 0.082)),
        (
            600.0,
            with_position(notice(BURST, "mxt-initial_qf3", 209, Refines, after(599.0)), 0.0095),
        ),
    ]
}

fn write_alerts(transaction: &Transaction<'_>) -> Result<(), JournalError> {
    let older = -86_400.0;
    let mut packets = vec![
        (older, Some(notice(OLDER_BURST, "grm-trigger", 201, NoticeEffect::Opens, after(older)))),
        (
            older + 540.0,
            Some(notice(OLDER_BURST, "retraction", 219, NoticeEffect::Retracts, after(older))),
        ),
        (-300.0, None),
    ];
    packets.extend(notices().into_iter().map(|(at, notice)| (at, Some(notice))));
    let unknown =
        notice("sb26110101", "svomunknown231", 231, NoticeEffect::ArchiveOnly, after(700.0));
    packets.push((701.0, Some(unknown)));
    for (index, (at, notice)) in packets.iter().enumerate() {
        let packet = alerts::ReceivedPacket {
            sha256: format!("{index:064x}"),
            received_at: after(*at),
            source: "127.0.0.1:8098".to_owned(),
            packet: format!("packet {index}").into_bytes(),
        };
        let (id, _) = alerts::insert(transaction, &packet)?;
        match notice {
            None => alerts::settle(
                transaction,
                id,
                "rejected",
                Some("not XML: expected '<' at byte 0"),
                None,
            )?,
            Some(notice) if notice.effect == NoticeEffect::ArchiveOnly => alerts::settle(
                transaction,
                id,
                "archived",
                Some("packet type 231 is not in the table"),
                Some(notice),
            )?,
            Some(notice) => alerts::settle(transaction, id, "applied", None, Some(notice))?,
        }
        if notice.as_ref().is_some_and(|notice| notice.packet_name == "eclairs-wakeup") {
            alerts::insert(transaction, &packet)?;
        }
    }
    Ok(())
}

fn write_triggers(transaction: &Transaction<'_>) -> Result<(), JournalError> {
    let notices = notices();
    triggers::save(
        transaction,
        &Trigger {
            burst_id: BURST.to_owned(),
            state: TriggerState::Refined,
            revision: 4,
            origin: TriggerOrigin::Notice,
            t0: t0(),
            t0_source: T0Source::SequenceT0,
            opened_at: after(30.0),
            best_position: notices.last().and_then(|(_, notice)| notice.position),
            slewing: Some(true),
            name: "SVOM 261101.133".to_owned(),
            notices: notices.into_iter().map(|(at, notice)| (after(at), notice)).collect(),
        },
    )?;
    let old_t0 = after(-86_430.0);
    triggers::save(
        transaction,
        &Trigger {
            burst_id: OLDER_BURST.to_owned(),
            state: TriggerState::Retracted,
            revision: 2,
            origin: TriggerOrigin::Notice,
            t0: old_t0,
            t0_source: T0Source::NoticeDate,
            opened_at: after(-86_400.0),
            best_position: None,
            slewing: None,
            name: "SVOM 261031.133".to_owned(),
            notices: Vec::new(),
        },
    )?;
    let deadline = |burst: &str, name, due_at, state, cause: Option<&str>| Deadline {
        burst_id: burst.to_owned(),
        name,
        due_at,
        state,
        cause: cause.map(str::to_owned),
    };
    let minutes = DeadlineName::Minutes;
    let mut planned = vec![
        deadline(
            BURST,
            DeadlineName::First,
            due_at(DeadlineName::First),
            DeadlineState::Delivered,
            None,
        ),
        deadline(BURST, minutes(5), due_at(minutes(5)), DeadlineState::Delivered, None),
        deadline(BURST, minutes(10), due_at(minutes(10)), DeadlineState::Produced, None),
        deadline(BURST, minutes(30), due_at(minutes(30)), DeadlineState::Planned, None),
        deadline(BURST, minutes(60), due_at(minutes(60)), DeadlineState::Planned, None),
    ];
    for name in [5, 10, 30, 60] {
        planned.push(deadline(
            OLDER_BURST,
            minutes(name),
            old_t0.plus_seconds(60.0 * f64::from(name)),
            DeadlineState::Cancelled,
            Some("retracted"),
        ));
    }
    triggers::plan_deadlines(transaction, &planned)?;
    triggers::set_lateness(transaction, BURST, DeadlineName::First, 2.4183)?;
    triggers::set_lateness(transaction, BURST, minutes(5), 3.0771)
}

/// Six products for FIRST and T005, seven for T010, of which the last two still wait.
fn write_products(transaction: &Transaction<'_>) -> Result<(), JournalError> {
    let early = ["QPO_GFT", "DT_GFT", "QF_GFT", "QLC_GFT", "QTI_GFT", "GFTMETA"];
    let late = ["DT_GFT", "PO_GFT", "QF_GFT", "LC_GFT", "QLC_GFT", "QTI_GFT", "GFTMETA"];
    for (deadline, cards) in
        [(ANALYSED[0], &early[..]), (ANALYSED[1], &early[..]), (ANALYSED[2], &late[..])]
    {
        for (index, card) in cards.iter().enumerate() {
            let key = ProductKey {
                burst_id: BURST.to_owned(),
                card: (*card).to_owned(),
                deadline,
                processing_version: 1,
            };
            let made_at = due_at(deadline).plus_seconds(1.0);
            let sha256 =
                format!("{:08x}", 0x51a7_e3c9_u32.wrapping_mul(index as u32 + 7)).repeat(8);
            products::reserve(transaction, &key, made_at)?;
            let path = PathBuf::from("products/26110101").join(key.file_name());
            products::set_made(transaction, &key, &path, &sha256)?;
            if deadline == ANALYSED[2] && index == 5 {
                let error = "connection refused (127.0.0.1:5000); tried again in 4 s";
                products::set_attempt_failed(transaction, &key, error)?;
                products::set_attempt_failed(transaction, &key, error)?;
            }
            if deadline == ANALYSED[2] && index >= 5 {
                continue;
            }
            let is_repeated = deadline == ANALYSED[1] && index == 3;
            let receipt = Receipt {
                product: key.to_string(),
                sha256,
                received_at: made_at.plus_seconds(0.4 + 0.2 * index as f64),
                status: if is_repeated {
                    DeliveryStatus::Duplicate
                } else {
                    DeliveryStatus::Stored
                },
                reason: None,
                sdb: Some("accepted".to_owned()),
            };
            products::set_answered(transaction, &key, &receipt, receipt.received_at)?;
        }
    }
    Ok(())
}

fn write_events(transaction: &Transaction<'_>) -> Result<(), JournalError> {
    for (at, actor, what, detail) in [
        (-900.0, "controller", "started", "version 0.1.0, configuration 7f0c"),
        (-899.0, "calibration-master", "promoted", "bias, dark, flat r, flat i"),
        (-898.0, "calibration-master", "rejected", "flat i: median differs by 0.21"),
        (391.0, "gp1-svom", "restarted", "panic: a worker lost its frame at 20261101T031812C1o"),
        (602.0, "fsc-uploader", "upload failed", "connection refused (127.0.0.1:5000)"),
    ] {
        events::record(
            transaction,
            &events::Event {
                at: after(at),
                actor: actor.to_owned(),
                what: what.to_owned(),
                detail: detail.to_owned(),
            },
        )?;
    }
    Ok(())
}
