//! One binary for all integration tests, a module for each theme.

mod astrometric_study;
mod broker;
mod catalog;
mod command_line;
mod house;
mod isolation;
mod night;
mod real_nights;
mod security;
mod service;
mod surroundings;
mod zoo;
