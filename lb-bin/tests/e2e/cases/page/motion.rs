//! What moves, when it may, and that nothing moves for nothing.

use serde_json::json;

use super::{Page, prefer};
use crate::{
    browser::{Browser, needs},
    lb::{Lb, View},
    scope::Scope,
    wait,
};

super::super::cases! {
    requests_fly_on_the_page_and_it_comes_to_rest if needs,
    who_wants_no_motion_sees_bars_on_the_page if needs,
    an_idle_page_does_nothing if needs,
    every_request_on_the_page_lands_in_its_row if needs,
}

/// How many pixels between the balancer and the paddles are painted on a canvas.
fn painted(page: &Page, canvas: &str) -> u32 {
    page.painted(canvas, 0.42, 0.68)
}

/// Sends requests until something is so on the page.
#[track_caller]
fn send_until(lb: &View, host: &str, page: &Page, what: &str, mut so: impl FnMut() -> bool) {
    let state = || format!("{} pixels", painted(page, "flight"));
    wait::until(what, state, || {
        lb.served_from(host);
        so().then_some(())
    });
}

fn requests_fly_on_the_page_and_it_comes_to_rest(scope: &Scope) {
    let host = scope.host("app");
    scope.app("app").hosts(&["app"]).start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    let page = Page::open(&lb);
    assert_eq!(painted(&page, "flight"), 0);
    send_until(&lb, &host, &page, "requests to fly", || painted(&page, "flight") > 10);
    let state = || format!("{} pixels", painted(&page, "flight"));
    wait::until("it to rest", state, || (painted(&page, "flight") == 0).then_some(()));
    page.is_content();
}

fn who_wants_no_motion_sees_bars_on_the_page(scope: &Scope) {
    let host = scope.host("app");
    scope.app("app").hosts(&["app"]).start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    let browser = Browser::start();
    prefer(&browser, &[("prefers-reduced-motion", "reduce")]);
    let page = Page::of(browser, &lb);
    let none = painted(&page, "ground");
    let mut flown = 0;
    send_until(&lb, &host, &page, "a bar", || {
        flown += painted(&page, "flight");
        painted(&page, "ground") > none + 100
    });
    assert_eq!(flown, 0);
    let moving: u32 = page.run("return document.getAnimations().length");
    assert_eq!(moving, 0);
    page.is_content();
}

fn an_idle_page_does_nothing(scope: &Scope) {
    let host = scope.host("app");
    let app = scope.app("app").hosts(&["app"]).start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    let page = Page::open(&lb);
    page.until_state(&app.name, "ready", "");
    // Other containers of this machine come and go: those ticks don't count.
    let _: () = page.run(
        "const ask = window.requestAnimationFrame;
         window.frames_ = 0;
         window.requestAnimationFrame = (then) => { window.frames_ += 1; return ask(then) };
         window.changes = 0;
         new MutationObserver((changes) => { window.changes += changes.length })
             .observe(document.body, {
                 attributes: true, characterData: true, childList: true, subtree: true,
             });
         window.ticks = [];
         const events = new EventSource('events');
         let [changes, frames] = [0, 0];
         let state = true;
         events.addEventListener('state', () => { state = true });
         events.addEventListener('traffic', () => {
             window.ticks.push([state, window.changes - changes, window.frames_ - frames]);
             [changes, frames, state] = [window.changes, window.frames_, false];
         })",
    );
    // A frame for a tick shows new figures; more are motion.
    let calm = "
        const calm = window.ticks.filter(([state, changes, frames]) => !state && changes === 0 && frames <= 1);
        return calm.length >= 8";
    let _: bool = page.browser.until(calm, &json!([]));
    page.is_content();
}

fn every_request_on_the_page_lands_in_its_row(_: &Scope) {
    let lb = Lb::start();
    let page = Page::open(&lb);
    // The picture's own parts, with a time that is made up.
    let landed: Vec<(String, u32)> = page.run(include_str!("landing.js"));
    let expected = [("a", 40), ("at most", 400), ("b", 20), ("in the air", 0), ("the balancer", 5)];
    assert_eq!(landed, expected.map(|(name, number)| (name.to_owned(), number)));
    page.is_content();
}
