//! The shape of the house: arrows point down only, rooms of one floor do not know each other, files hold one idea.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Rooms by floor, lowest first. A room may use the floors below it, and itself.
const FLOORS: [&[&str]; 8] = [
    &["model"],
    &["config", "clock", "progress"],
    &["imaging", "fits"],
    &["catalogs", "alerts", "storage"],
    &["gp1", "products", "fsc", "simulation", "web"],
    &["actors"],
    &["controller"],
    &["cli"],
];

/// The one exception, on one floor: FITS images are given as `imaging::Image`, and world coordinates in cards.
const ALLOWED: [(&str, &str); 1] = [("fits", "imaging")];

const MAXIMUM_LINES: usize = 650;

fn source_files() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    found
}

fn room_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.components().next()?.as_os_str().to_string_lossy().into_owned();
    let room = first.trim_end_matches(".rs").to_owned();
    (room != "main" && room != "lib").then_some(room)
}

/// Rooms named after `crate::` in a text: `crate::model::…` and `crate::{model::…, clock::…}`.
fn rooms_used(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (index, _) in text.match_indices("crate::") {
        let rest = &text[index + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut at_start = true;
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        at_start = true;
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 && at_start {
                    if character.is_alphanumeric() || character == '_' {
                        word.push(character);
                    } else if !word.is_empty() {
                        used.push(std::mem::take(&mut word));
                        at_start = false;
                    }
                }
            }
        } else {
            let word: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            used.push(word);
        }
    }
    used
}

#[test]
fn arrows_point_down() {
    let floor_of: BTreeMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor)))
        .collect();
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for path in source_files() {
        let Some(room) = room_of(&path) else { continue };
        let floor = *floor_of
            .get(room.as_str())
            .unwrap_or_else(|| panic!("{} is in no room of the plan", path.display()));
        for used in rooms_used(&fs::read_to_string(&path).unwrap()) {
            let Some(&used_floor) = floor_of.get(used.as_str()) else { continue };
            let is_exception = ALLOWED.contains(&(room.as_str(), used.as_str()));
            arrows += 1;
            if used != room && used_floor >= floor && !is_exception {
                wrong.push(format!("{}: {room} uses {used}", path.display()));
            }
        }
    }
    assert!(arrows > 50, "the reader of imports found only {arrows} arrows");
    assert!(wrong.is_empty(), "arrows that point up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn files_hold_one_idea() {
    let long: Vec<String> = source_files()
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > MAXIMUM_LINES).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "files to be split:\n{}", long.join("\n"));
}

#[test]
fn no_room_is_called_after_nothing() {
    for path in source_files() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !["utils", "util", "common", "helpers", "misc"].contains(&stem.as_str()),
            "{} says nothing about what is in it",
            path.display()
        );
    }
}

#[test]
fn groups_and_paths_are_read_alike() {
    let text =
        "use crate::{\n a::{b, c::d},\n clock::Clock,\n model,\n};\nlet x = crate::fits::y();";
    assert_eq!(rooms_used(text), ["a", "clock", "model", "fits"]);
}
