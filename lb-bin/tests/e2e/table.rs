//! What the chaos suite showed: one row for each scenario.

use std::{
    env, fmt::Write as _, fs, path::Path, process::Command, sync::Mutex, thread, time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    cases,
    docker::{attempt, output},
    peers,
};

/// Names a file in which the rows replace what is between the two markers.
const FILE: &str = "LB_E2E_TABLE";

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());
static SAMPLES: Mutex<Vec<Sample>> = Mutex::new(Vec::new());
static PASSED: Mutex<Vec<&str>> = Mutex::new(Vec::new());

const SOAK: &str = "chaos::soak";

/// What one scenario showed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Those that took more than 300 ms.
    pub(crate) slow: u64,
    pub(crate) slowest: Duration,
    pub(crate) note: String,
}

pub(crate) fn add(row: Row) {
    ROWS.lock().unwrap().push(row);
}

/// All rows so far.
pub(crate) fn rows() -> Vec<Row> {
    ROWS.lock().unwrap().clone()
}

/// What a soak showed, so far or at its end.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    /// How often something was done to containers.
    pub(crate) changes: u64,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) slow: u64,
    /// Resident, in bytes.
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
}

/// Has the samples of a soak in a table of their own.
pub(crate) fn soak(samples: Vec<Sample>) {
    *SAMPLES.lock().unwrap() = samples;
}

/// This case has run to its end.
pub(crate) fn passed(case: &'static str) {
    PASSED.lock().unwrap().push(case);
}

/// Prints the tables, if there are any, and writes those that are whole where they
/// are to go. Returns whether nothing kept it from that.
pub(crate) fn tell() -> bool {
    let passed = PASSED.lock().unwrap().clone();
    let mut all = cases::all().map(|case| case.name).filter(|name| name.starts_with("chaos::"));
    let whole = all.all(|name| name == SOAK || passed.contains(&name));
    let (mut rows, samples) = (rows(), SAMPLES.lock().unwrap().clone());
    let soaked = rows.extract_if(.., |row| row.scenario == "soak").last();
    let rest = rows.is_empty() || put("chaos", whole, &scenarios(&rows));
    let soak =
        soaked.is_none_or(|row| put("soak", passed.contains(&SOAK), &over_time(&row, &samples)));
    rest && soak
}

/// Prints a table and, if it is whole, writes it between its markers.
fn put(name: &str, whole: bool, text: &str) -> bool {
    println!("{text}");
    let Ok(file) = env::var(FILE) else { return true };
    if !whole {
        eprintln!("not written to {file}: not every case of this table ran and passed");
        return true;
    }
    // Tests run in the folder of their crate.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    match write(&workspace.join(&file), workspace, name, text) {
        Ok(()) => println!("written to {file}"),
        Err(why) => {
            eprintln!("{FILE}={file}: {why}");
            return false;
        }
    }
    true
}

fn scenarios(rows: &[Row]) -> String {
    let mut text = format!(
        "| scenario | requests | failed | over 300 ms | slowest | | {} |\n|---|---|---|---|---|---|---|\n",
        peers::WHO
    );
    for row in rows {
        let Row { scenario, requests, failed, slow, slowest, note } = row;
        let slowest = slowest.as_millis();
        let _ = writeln!(
            text,
            "| {scenario} | {requests} | {failed} | {slow} | {slowest} ms | {note} | {} |",
            peers::figures(scenario)
        );
    }
    text
}

fn over_time(row: &Row, samples: &[Sample]) -> String {
    let Row { requests, failed, slow, slowest, note, .. } = row;
    let mut text = format!(
        "{requests} requests, {failed} failed, {slow} over 300 ms, the slowest {} ms; {note}.\n\n\
         | after | changes | requests | failed | over 300 ms | resident | descriptors |\n\
         |---|---|---|---|---|---|---|\n",
        slowest.as_millis()
    );
    for sample in samples {
        let Sample { at, changes, sent, failed, slow, memory, descriptors } = sample;
        let (minutes, seconds) = (at.as_secs() / 60, at.as_secs() % 60);
        let _ = writeln!(
            text,
            "| {minutes}:{seconds:02} | {changes} | {sent} | {failed} | {slow} | {:.1} MB | {descriptors} |",
            *memory as f64 / 1e6
        );
    }
    text
}

fn write(file: &Path, workspace: &Path, name: &str, text: &str) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let old = fs::read_to_string(file).map_err(told)?;
    let [begin, end] = ["begin", "end"].map(|which| format!("<!-- {name}: {which} -->"));
    let missing = |marker: &str| format!("it has no line {marker:?}");
    let (before, rest) = old.split_once(&begin).ok_or_else(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| missing(&end))?;
    let engine = attempt(["version", "--format", "{{.Server.Version}}"])?;
    let cores = thread::available_parallelism().map_err(told)?;
    let mut git = Command::new("git");
    git.current_dir(workspace).args(["describe", "--always"]);
    let commit = output(git)?;
    let machine = format!("On {cores} cores, Docker {engine}, commit {commit}.");
    let new = format!("{before}{begin}\n{machine}\n\n{text}{end}{after}");
    fs::write(file, new).map_err(told)
}
