//! Follows a feed of images (a synthetic sky, an archive): each is dropped into the incoming directory at its instant.

use super::{ImageProviderSettings, ProviderError, memory::Memory, take_in_all};
use crate::{
    clock::WorkGuard,
    simulation::feed::FrameFeed,
    storage::{
        journal::frames,
        local::{make_directory, move_file},
    },
};
use std::sync::{Arc, Mutex};

/// Makes each frame ahead of its instant, and moves it into the incoming directory at the instant.
pub async fn follow_feed(
    settings: &ImageProviderSettings,
    feed: Arc<dyn FrameFeed>,
    guard: WorkGuard,
) -> Result<(), ProviderError> {
    let mut guard = Some(guard);
    let staging = settings.intake.storage.root().join("staging");
    make_directory(&staging)?;
    let memory = Arc::new(Mutex::new(Memory::default()));
    // What an earlier life left behind comes first.
    take_in_all(settings, &memory, None).await?;
    for index in 0..feed.plan().len() {
        let planned = feed.plan()[index].clone();
        let name = planned.frame_name.clone();
        let arrived = settings.journal.read(move |c| frames::is_known_name(c, &name)).await?;
        if arrived {
            continue;
        }
        let instant = settings.clock.sleep_until(planned.arrival);
        drop(guard.take());
        let (maker, directory) = (feed.clone(), staging.clone());
        let made = settings.pool.run(move || maker.produce(index, &directory));
        let (made, held) = futures_util::future::join(made, instant).await;
        let made = made??;
        let Some(name) = made.file_name() else { continue };
        let destination = settings.intake.storage.incoming().join(name);
        move_file(&made, &destination)?;
        take_in_all(settings, &memory, None).await?;
        guard = Some(held);
    }
    Ok(())
}
