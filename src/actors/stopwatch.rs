//! Wall time between two events of the same thing, for figures only: nothing is decided by it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Remembers when things began; shared by the actors that see the beginning and the end.
#[derive(Debug)]
pub struct Stopwatches<K> {
    started: Arc<Mutex<HashMap<K, Instant>>>,
}

impl<K> Clone for Stopwatches<K> {
    fn clone(&self) -> Self {
        Self { started: self.started.clone() }
    }
}

impl<K: Eq + Hash> Default for Stopwatches<K> {
    fn default() -> Self {
        Self { started: Arc::new(Mutex::new(HashMap::new())) }
    }
}

impl<K: Eq + Hash> Stopwatches<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the beginning of `key`, once.
    pub fn start(&self, key: K) {
        self.lock().entry(key).or_insert_with(Instant::now);
    }

    /// Wall seconds since the beginning, which is forgotten. `None` if it was not seen by this process.
    pub fn stop(&self, key: &K) -> Option<f64> {
        self.lock().remove(key).map(|start| start.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_counts_and_a_stop_forgets() {
        let watches = Stopwatches::default();
        watches.start("frame");
        std::thread::sleep(std::time::Duration::from_millis(20));
        watches.start("frame");
        assert!(watches.stop(&"frame").unwrap() >= 0.02);
        assert_eq!(watches.stop(&"frame"), None);
    }
}
