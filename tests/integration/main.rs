//! One binary for all integration tests, a module for each theme.

mod house;
