//! The live page, as a real browser shows it.

mod access;
mod life;
mod motion;
mod pictures;

use serde_json::{Value, json};

use crate::{Case, browser::Browser, lb::View};

/// The cases of the page, by theme.
pub(super) const THEMES: [&[Case]; 4] =
    [life::CASES, access::CASES, motion::CASES, pictures::CASES];

/// The live page of a balancer, in a window of its own.
struct Page {
    browser: Browser,
}

impl Page {
    /// Opens it and waits until it is all there and told something.
    #[track_caller]
    fn open(lb: &View) -> Self {
        Self::of(Browser::start(), lb)
    }

    /// The same in a window that has been prepared.
    #[track_caller]
    fn of(browser: Browser, lb: &View) -> Self {
        browser.open(&format!("http://{}/live/", lb.admin));
        let page = Self { browser };
        page.until_there();
        page
    }

    /// Waits until all of its files are, and the balancer has told it something.
    #[track_caller]
    fn until_there(&self) {
        let script = "
            return document.readyState === 'complete'
                && document.styleSheets.length === 1
                && document.getElementById('link').dataset.state === 'live'";
        let _: bool = self.browser.until(script, &json!([]));
    }

    /// Waits until its connection to the balancer is in this state.
    #[track_caller]
    fn until_link_is(&self, state: &str) {
        let script = "return document.getElementById('link').dataset.state === arguments[0]";
        let _: bool = self.browser.until(script, &json!([state]));
    }

    /// Waits until the table has this container in this state, for this reason.
    #[track_caller]
    fn until_state(&self, container: &str, state: &str, reason: &str) {
        let script = "
            const [name, state, reason] = arguments;
            const row = document.querySelector(`tr[data-endpoint='${name}']`);
            return row?.dataset.state === state
                && row.querySelector('.state').textContent === state
                && row.querySelector('.why').textContent.includes(reason)";
        let _: bool = self.browser.until(script, &json!([container, state, reason]));
    }

    /// Waits until the table doesn't have it.
    #[track_caller]
    fn until_left(&self, container: &str) {
        let script = "return !document.querySelector(`tr[data-endpoint='${arguments[0]}']`)";
        let _: bool = self.browser.until(script, &json!([container]));
    }

    /// Waits until it lists an event in these words, and returns all of what it says.
    #[track_caller]
    fn until_said(&self, words: &str) -> String {
        let script = "
            const all = [...document.querySelectorAll('#log .said')];
            return all.find(({ textContent }) => textContent.includes(arguments[0]))?.textContent ?? null";
        self.browser.until(script, &json!([words]))
    }

    /// Waits until the row of a container, or the first that these find, says this in
    /// a column.
    #[track_caller]
    fn until_cell(&self, rows: &str, column: &str, text: &str) {
        let script = "
            const [rows, column, text] = arguments;
            return document.querySelector(rows)?.querySelector(`td.${column}`).textContent === text";
        let _: bool = self.browser.until(script, &json!([rows, column, text]));
    }

    /// Sets the size of what is seen, in pixels of CSS.
    #[track_caller]
    fn size(&self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.browser.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Has the system prefer something, as in `("prefers-color-scheme", "dark")`.
    #[track_caller]
    fn prefer(&self, features: &[(&str, &str)]) {
        prefer(&self.browser, features);
    }

    #[track_caller]
    fn run<T: serde::de::DeserializeOwned>(&self, script: &str) -> T {
        self.browser.run(script, &json!([]))
    }

    /// How many pixels of a canvas are painted, from one part of its width to another.
    #[track_caller]
    fn painted(&self, canvas: &str, from: f64, to: f64) -> u32 {
        self.browser.run(include_str!("painted.js"), &json!([canvas, from, to]))
    }

    /// It has asked nobody but the balancer, and nothing went wrong that it or the
    /// browser would complain of.
    #[track_caller]
    fn is_content(&self) {
        assert_eq!(self.browser.complaints(), Vec::<String>::new());
        let asked: Vec<String> = self.run(
            "return performance.getEntriesByType('resource')
                .map(({ name }) => name)
                .filter((name) => !name.startsWith(location.origin))",
        );
        assert_eq!(asked, Vec::<String>::new());
    }
}

#[track_caller]
fn prefer(browser: &Browser, features: &[(&str, &str)]) {
    let features: Vec<Value> =
        features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    browser.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
}

/// The selector of a container's row.
fn row_of(container: &str) -> String {
    format!("tr[data-endpoint='{container}']")
}
