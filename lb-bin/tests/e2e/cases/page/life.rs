//! What it shows is what happens.

use std::{
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use super::{Page, row_of};
use crate::{
    browser::{Browser, needs},
    lb::Lb,
    reserved::Reserved,
    scope::Scope,
    wait,
};

super::super::cases! {
    a_container_is_on_the_page_within_a_second_of_being_routable if needs,
    the_page_counts_requests_where_they_were_answered if needs,
    lines_on_the_page_are_of_the_last_minute_and_have_its_gaps if needs,
    a_container_that_is_killed_is_down_on_the_page_and_then_gone if needs,
    the_page_lists_what_is_not_routed_and_why_as_text if needs,
    a_page_whose_files_do_not_come_is_loaded_anew if needs,
    a_page_waits_for_who_it_is_loaded_from_and_gives_up_what_never_comes if needs,
    the_page_finds_a_balancer_that_restarts if needs,
    a_page_that_is_paused_stands_still if needs,
}

/// How long the page may take to show what is so.
const AT_ONCE: Duration = Duration::from_secs(1);

fn a_container_is_on_the_page_within_a_second_of_being_routable(scope: &Scope) {
    let host = scope.host("app");
    scope.app("first").hosts(&["app"]).start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    let page = Page::open(&lb);
    // The page itself takes down when its table says so.
    let _: () = page.browser.run(
        "const ready = `tr[data-endpoint='${arguments[0]}'][data-state='ready']`;
         new MutationObserver(() => {
             if (!window.shownAt && document.querySelector(ready)) window.shownAt = Date.now();
         }).observe(document.getElementById('table'), {
             attributes: true, childList: true, subtree: true,
         })",
        &json!([format!("{}-second", scope.prefix())]),
    );

    let second = scope.app("second").hosts(&["app"]).start();
    lb.ready(&host, 2);
    let routable = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let shown: f64 = page.browser.until("return window.shownAt ?? null", &json!([]));
    let shown = Duration::from_secs_f64(shown / 1000.0);
    assert!(shown <= routable + AT_ONCE, "routable at {routable:?}, shown at {shown:?}");

    page.until_state(&second.name, "ready", "");
    page.until_said(&format!("{} is ready", second.name));
    let said = "return document.getElementById('announcer').textContent.includes(arguments[0])";
    let _: bool = page.browser.until(said, &json!([second.name]));
    page.is_content();
}

fn the_page_counts_requests_where_they_were_answered(scope: &Scope) {
    let host = scope.host("app");
    let apps = ["a", "b"].map(|name| scope.app(name).hosts(&["app"]).start());
    let lb = Lb::start();
    lb.ready(&host, 2);
    let page = Page::open(&lb);
    for app in &apps {
        page.until_state(&app.name, "ready", "");
    }

    for _ in 0..30 {
        lb.served_from(&host);
    }
    for _ in 0..2 {
        assert_eq!(lb.get(&host, "/?status=500").status, 500);
    }
    assert_eq!(lb.get(&scope.host("unknown"), "/").status, 503);

    for app in &apps {
        page.until_cell(&row_of(&app.name), "seen", &app.requests().to_string());
    }
    let service = format!("tbody[data-service='{host}'] tr");
    page.until_cell(&service, "seen", "32");
    let failing =
        "return document.querySelector(arguments[0]).querySelector('td.errors.bad') !== null";
    let _: bool = page.browser.until(failing, &json!([service]));
    page.until_cell("tbody:not([data-service]) tr", "seen", "1");
    let tiles = "return document.querySelector('#figures').innerText.replaceAll('\\n', ' ')";
    let tiles: String = page.run(tiles);
    assert!(tiles.contains("33 seen"), "{tiles}");

    // Those of one service alone.
    let _: () = page.browser.run(
        "const filter = document.getElementById('filter');
         filter.value = arguments[0];
         filter.dispatchEvent(new Event('change'))",
        &json!([host]),
    );
    let shown: Vec<String> = page
        .run("return [...document.querySelectorAll('tbody')].map((body) => body.dataset.service)");
    assert_eq!(shown, [host]);
    let tiles: String = page.run("return document.querySelector('#figures').innerText");
    assert!(tiles.contains("32 seen"), "{tiles}");
    // And those of one that isn't there any more.
    let tiles: String = page.run(
        "const filter = document.getElementById('filter');
         filter.append(new Option('gone.local', 'gone.local'));
         filter.value = 'gone.local';
         filter.dispatchEvent(new Event('change'));
         return document.querySelector('#figures').innerText",
    );
    assert!(tiles.contains("0 seen") && tiles.contains("of 0"), "{tiles}");
    page.is_content();
}

fn lines_on_the_page_are_of_the_last_minute_and_have_its_gaps(_: &Scope) {
    let lb = Lb::start();
    let page = Page::open(&lb);
    let (lines, gone): (Vec<Vec<(u32, u32)>>, String) = page.run(include_str!("lines.js"));
    let expected = [
        vec![(31, 60)],
        vec![(1, 31), (51, 60)],
        vec![(59, 60)],
        // The clock was set back.
        vec![(59, 60)],
        vec![(0, 60)],
    ];
    assert_eq!(lines, expected);
    assert_eq!(gone, "0 seen");
    page.is_content();
}

fn a_container_that_is_killed_is_down_on_the_page_and_then_gone(scope: &Scope) {
    let host = scope.host("app");
    let [stays, dies] = ["stays", "dies"].map(|name| scope.app(name).hosts(&["app"]).start());
    let lb = Lb::start();
    lb.ready(&host, 2);
    let page = Page::open(&lb);
    page.until_state(&dies.name, "ready", "");

    dies.docker(&["kill"]);
    lb.until("it to be down", |now| {
        now.endpoint(&dies.name).filter(|dies| dies.state == "down").map(|_| ())
    });
    let why = lb.endpoints().endpoint(&dies.name).unwrap().reasons.join("; ");
    assert!(!why.is_empty());
    page.until_state(&dies.name, "down", &why);
    let said = page.until_said(&format!("{} is down", dies.name));
    assert!(said.ends_with(&why), "{said}");

    let name = dies.name.clone();
    dies.remove();
    page.until_said(&format!("{name} is gone"));
    page.until_state(&name, "gone", "");
    page.until_left(&name);
    page.until_state(&stays.name, "ready", "");
    page.is_content();
}

fn the_page_lists_what_is_not_routed_and_why_as_text(scope: &Scope) {
    let markup = "<img src=x onerror=document.title='owned'>";
    let odd = scope.app("odd").hosts(&["odd"]).env("VIRTUAL_PORT", markup).start();
    let plain = scope.app("plain").start();
    let lb = Lb::start();
    lb.until("it to be known", |now| now.unrouted(&odd.name).map(|_| ()));
    let page = Page::open(&lb);
    let item = "return document.querySelector(`#unrouted li[data-name='${arguments[0]}']`)?.textContent ?? null";
    let says: String = page.browser.until(item, &json!([odd.name]));
    let why = lb.endpoints().unrouted(&odd.name).unwrap().reasons.join("; ");
    assert!(why.contains(markup), "{why}");
    assert_eq!(says, format!("{} quarantined {why}", odd.name));
    let says: String = page.browser.until(item, &json!([plain.name]));
    assert!(says.contains("ignored"), "{says}");
    // What another one asks for comes as an event.
    let odd = scope.app("odder").hosts(&["odd"]).env("VIRTUAL_PORT", markup).start();
    let said = page.until_said(&odd.name);
    assert!(said.contains(markup), "{said}");

    let (images, title): (Vec<String>, String) = page.run(
        "return [[...document.querySelectorAll('main img')].map((image) => image.src), document.title]",
    );
    assert_eq!((images, title.as_str()), (Vec::new(), "lb live"));
    page.is_content();
}

fn a_page_whose_files_do_not_come_is_loaded_anew(scope: &Scope) {
    let host = scope.host("app");
    scope.app("a").hosts(&["app"]).start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    for missing in ["*/model.js", "*/page.js", "*/page.css"] {
        let browser = without(&lb, &[missing]);
        let loaded = "return document.readyState === 'complete' && performance.timeOrigin";
        let first: f64 = browser.until(loaded, &json!([]));
        let again = "return document.readyState === 'complete'
            && performance.timeOrigin !== arguments[0]";
        let _: bool = browser.until(again, &json!([first]));
        block(&browser, &[]);
        let page = Page { browser };
        page.until_there();
    }
}

/// A browser that is to open the page, and gets everything but these files.
fn without(lb: &Lb, missing: &[&str]) -> Browser {
    let browser = Browser::start();
    browser.devtools("Network.enable", &json!({}));
    block(&browser, missing);
    browser.open(&format!("http://{}/live/", lb.admin));
    browser
}

fn block(browser: &Browser, urls: &[&str]) {
    browser.devtools("Network.setBlockedURLs", &json!({ "urls": urls }));
}

fn a_page_waits_for_who_it_is_loaded_from_and_gives_up_what_never_comes(_: &Scope) {
    let lb = Lb::start();
    // As if the balancer were gone, after the first of its files.
    let browser = without(&lb, &["*/model.js"]);
    block(&browser, &["*/model.js", "*/live/"]);
    let asked = "
        const asked = performance.getEntriesByType('resource');
        return asked.filter(({ name }) => name.endsWith('/live/')).length >= 2";
    let _: bool = browser.until(asked, &json!([]));
    block(&browser, &[]);
    let page = Page { browser };
    page.until_there();
    assert_eq!(page.run::<Option<u32>>("return history.state"), None);
    drop(page);

    // The page works without its style, and tells that time passes.
    let browser = without(&lb, &["*/page.css"]);
    let _: () = browser.run("history.replaceState(9, '')", &json!([]));
    let last = "
        if (history.state !== 10 || document.readyState !== 'complete') return false;
        if (!window.ticks) {
            window.ticks = [];
            new EventSource('events').addEventListener('traffic', () => window.ticks.push(1));
        }
        return window.ticks.length >= 12";
    let _: bool = browser.until(last, &json!([]));
}

fn the_page_finds_a_balancer_that_restarts(scope: &Scope) {
    let host = scope.host("app");
    let leaves = scope.app("leaves").hosts(&["app"]).start();
    let admin = Reserved::new();
    let at_the_same = |lb: &mut Command| {
        lb.env("LB_ADMIN", admin.address().to_string());
    };
    let mut first = Lb::with(at_the_same);
    first.ready(&host, 1);
    let page = Page::open(&first);
    page.until_state(&leaves.name, "ready", "");
    let _: () = page.run("window.same = true");

    first.signal("TERM");
    first.ended();
    page.until_link_is("lost");
    page.until_said("The connection to the balancer is lost");
    let notice: String = page.run("return document.querySelector('.notice').textContent");
    assert!(notice.contains("No connection to the balancer since"), "{notice}");
    let name = leaves.name.clone();
    leaves.remove();
    let comes = scope.app("comes").hosts(&["app"]).start();

    let second = Lb::with(at_the_same);
    page.until_link_is("live");
    page.until_said("The balancer is connected again");
    page.until_state(&comes.name, "ready", "");
    page.until_left(&name);
    second.served_from(&host);
    page.until_cell(&row_of(&comes.name), "seen", "1");
    let (same, notices): (bool, u32) =
        page.run("return [window.same, document.querySelectorAll('.notice').length]");
    assert!(same && notices == 0);
    // The browser complains of the refused connections, and of nothing else.
    let other = |said: &String| !said.contains("/live/events");
    let complaints: Vec<_> = page.browser.complaints().into_iter().filter(other).collect();
    assert_eq!(complaints, Vec::<String>::new());
}

fn a_page_that_is_paused_stands_still(scope: &Scope) {
    let host = scope.host("app");
    let app = scope.app("app").hosts(&["app"]).start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    let page = Page::open(&lb);
    page.until_state(&app.name, "ready", "");
    page.browser.press(" ");
    page.until_link_is("paused");
    let _: () = page.run(
        "window.changed = 0;
         const count = (changes) => { window.changed += changes.length };
         new MutationObserver(count).observe(document.querySelector('main'), {
             attributes: true, characterData: true, childList: true, subtree: true,
         })",
    );
    // Another stream shows that the page was told of all this meanwhile.
    let _: () = page.run(
        "window.told = 0;
         window.ready = [];
         window.ticks = 0;
         const events = new EventSource('events');
         events.addEventListener('traffic', ({ data }) => {
             window.told += JSON.parse(data).total.requests;
             window.ticks += 1;
         });
         events.addEventListener('state', ({ data }) => {
             window.ready = JSON.parse(data).services.flatMap(({ endpoints }) => endpoints)
                 .filter(({ state }) => state === 'ready').map(({ name }) => name);
             window.ticks = 0;
         });
         window.sentences = [];
         const region = document.getElementById('announcer');
         new MutationObserver(() => window.sentences.push(region.textContent))
             .observe(region, { characterData: true, childList: true, subtree: true })",
    );
    wait::until(
        "requests to be told",
        || page.run::<u32>("return window.told").to_string(),
        || {
            lb.served_from(&host);
            (page.run::<u32>("return window.told") >= 20).then_some(())
        },
    );
    let more = scope.app("more").hosts(&["app"]).start();
    let known = "return window.ready.includes(arguments[0]) && window.ticks > 0";
    let _: bool = page.browser.until(known, &json!([more.name]));
    assert_eq!(page.run::<u32>("return window.changed"), 0);

    page.browser.press(" ");
    page.until_link_is("live");
    // A screen reader isn't told of each, but of how many.
    let told = "return window.sentences.some((text) => /^\\d+ events? while paused/.test(text))";
    let _: bool = page.browser.until(told, &json!([]));
    let sentences: Vec<String> = page.run("return window.sentences");
    assert!(!sentences.iter().any(|text| text.contains(&more.name)), "{sentences:?}");
    page.until_cell(&row_of(&app.name), "seen", &app.requests().to_string());
    page.until_state(&more.name, "ready", "");
    page.until_said(&format!("{} is ready", more.name));
    page.is_content();
}
