//! Real and simulated time.
