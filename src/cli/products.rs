//! `gic products`.

use super::Failure;
use crate::{
    fits::{FitsStore, pure::PureRust},
    products::{DescriptorSet, show, validate},
};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum ProductsCommand {
    /// Show products as a person reads them, and say whether they conform
    Show(ShowArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gic products show products/sb26110201/*.fits")]
pub struct ShowArguments {
    /// Product files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Descriptors to check against (default: built in)
    #[arg(long, value_name = "DIR")]
    descriptors: Option<PathBuf>,
    /// Content as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(command: ProductsCommand) -> Result<(), Failure> {
    let ProductsCommand::Show(arguments) = command;
    let descriptors = match &arguments.descriptors {
        Some(directory) => DescriptorSet::load(directory)?,
        None => DescriptorSet::embedded()?,
    };
    let mut complaints = 0;
    let mut shown = Vec::new();
    for file in &arguments.files {
        if !file.exists() {
            return Err(Failure::InputMissing(anyhow!("{}: not there", file.display())));
        }
        PureRust.verify_checksums(file).map_err(|error| Failure::Invalid(error.into()))?;
        let tables = PureRust.read_tables(file).map_err(|error| Failure::Invalid(error.into()))?;
        let card = show::card_of(&tables).unwrap_or_default();
        let findings = validate(&tables, &card, &descriptors);
        complaints += findings.len();
        if arguments.json {
            shown.push(show::json(&tables));
        } else {
            println!("{}", file.display());
            print!("{}", show::text(&tables));
        }
        for finding in &findings {
            eprintln!("gic: {}: {finding}", file.display());
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
    }
    match complaints {
        0 => Ok(()),
        count => Err(Failure::Invalid(anyhow!("{count} complaints"))),
    }
}
