//! Everybody can use it: with a keyboard, a screen reader, a narrow window, large text,
//! in light and in dark.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Page;
use crate::{
    browser::{Browser, keys, needs},
    lb::Lb,
    scope::Scope,
    wait,
};

super::super::cases! {
    the_page_is_worked_by_keyboard if needs,
    the_page_tells_screen_readers_what_it_shows if needs,
    the_page_is_legible_in_light_and_dark if needs,
    no_width_and_no_size_of_text_scrolls_the_page_sideways if needs,
    much_that_happens_on_the_page_is_few_sentences if needs,
}

/// A page on which there is something of all that it can show.
fn with_all_there_is(scope: &Scope) -> (Lb, Page) {
    let host = scope.host("a-rather-long-name-of-a-host-that-somebody-chose");
    let name = "a-rather-long-name-of-a-host-that-somebody-chose";
    let lb = Lb::start();
    for app in ["ready", "another-one-with-a-name-that-is-longer-than-most-names-are"] {
        scope.app(app).hosts(&[name]).start();
    }
    let dead = scope.app("dead").hosts(&[name]).start();
    let odd = scope.app("odd").hosts(&["odd"]).env("VIRTUAL_PORT", "none").start();
    scope.app("plain").start();
    lb.ready(&host, 3);
    dead.docker(&["kill"]);
    let page = Page::open(&lb);
    page.until_state(&dead.name, "down", "");
    lb.served_from(&host);
    lb.get(&host, "/?status=500");
    lb.get(&scope.host("unknown"), "/");
    let listed = "
        const failed = document.querySelector('td.errors.bad');
        const astray = document.querySelector('tbody:not([data-service])');
        return failed && astray && document.querySelector(`#unrouted li[data-name='${arguments[0]}']`) !== null";
    let _: bool = page.browser.until(listed, &json!([odd.name]));
    (lb, page)
}

fn the_page_is_worked_by_keyboard(scope: &Scope) {
    let (_lb, page) = with_all_there_is(scope);
    let browser = &page.browser;
    let focused = "
        const { activeElement } = document;
        const { outlineStyle, outlineWidth } = getComputedStyle(activeElement);
        return [
            activeElement.id || activeElement.className || activeElement.textContent.slice(0, 12),
            outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
        ]";
    for name in ["skip", "filter", "pause", "theme", "help", "scroll"] {
        browser.press(keys::TAB);
        let (found, visible): (String, bool) = page.run(focused);
        assert_eq!((found.as_str(), visible), (name, true));
    }
    // What is folded away, and the links at the end.
    browser.press(keys::TAB);
    let (summary, visible): (String, bool) = page.run(focused);
    assert!(visible && summary.contains("container"), "{summary}");
    let open = "return document.querySelector('details').open";
    assert!(!page.run::<bool>(open));
    browser.press(keys::ENTER);
    assert!(page.run::<bool>(open));
    for name in ["/endpoints", "/metrics"] {
        browser.press(keys::TAB);
        assert_eq!(page.run::<(String, bool)>(focused), (name.to_owned(), true));
    }

    // There is nothing else to be reached.
    let number: u32 = page.run(
        "const all = 'a[href], button, select, input, summary, [tabindex=\"0\"]';
         return [...document.querySelectorAll(all)].filter((it) => it.checkVisibility()).length",
    );
    assert_eq!(number, 9);

    // Keys of its own; a button has its own use of the space bar.
    let theme = "return document.documentElement.dataset.theme ?? 'system'";
    for name in ["light", "dark", "system"] {
        browser.press("t");
        assert_eq!(page.run::<String>(theme), name);
    }
    browser.press("?");
    let open = "return document.getElementById('keys').open";
    assert!(page.run::<bool>(open));
    browser.press(keys::ESCAPE);
    assert!(!page.run::<bool>(open));
    assert_eq!(page.run::<(String, bool)>(focused).0, "/metrics");
    browser.press(" ");
    page.until_link_is("paused");
    browser.press(" ");
    page.until_link_is("live");
    browser.press("f");
    assert_eq!(page.run::<(String, bool)>(focused).0, "filter");
    browser.press(keys::TAB);
    browser.press(" ");
    page.until_link_is("paused");
    browser.press(" ");
    page.until_link_is("live");

    // Whom keys disturb can do without.
    let _: () =
        page.run("document.getElementById('keys-on').click(); document.activeElement.blur()");
    browser.press("t");
    assert_eq!(page.run::<String>(theme), "system");
    let _: () = page.run("document.getElementById('keys-on').click()");

    let _: () = page.run("document.querySelector('.skip').focus()");
    browser.press(keys::ENTER);
    let _: bool = browser.until("return document.activeElement.id === 'containers'", &json!([]));
    page.is_content();
}

fn the_page_tells_screen_readers_what_it_shows(scope: &Scope) {
    let (_lb, page) = with_all_there_is(scope);
    // The same tree, whether rows are rows or cards.
    for width in [1440, 375] {
        page.size(width, 900);
        let (there, nodes) = tree(&page);
        let number = |role: &str| nodes.iter().filter(|node| node.role == role).count();
        for role in ["banner", "main", "contentinfo", "table"] {
            assert_eq!(number(role), 1, "{role} at {width} px");
        }
        for (role, there) in ["row", "columnheader", "rowheader", "cell"].iter().zip(there) {
            assert_eq!(number(role), there, "{role} at {width} px");
        }
        for node in &nodes {
            let speaks = node.focusable || node.role == "image" || node.role == "region";
            assert!(!speaks || !node.name.is_empty(), "{node:?} has no name at {width} px");
        }
        let picture = nodes.iter().find(|node| node.role == "image" && node.name.contains("table"));
        assert!(picture.is_some(), "the picture says where its content is in words");

        let levels: Vec<u64> = nodes.iter().filter_map(|node| node.level).collect();
        assert_eq!(levels.first(), Some(&1));
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
    }
    let (language, title): (String, String) =
        page.run("return [document.documentElement.lang, document.title]");
    assert_eq!((language.as_str(), title.as_str()), ("en", "lb live"));
    // States are words, not only colours.
    let words: HashSet<String> = page.run(
        "return [...document.querySelectorAll('tr.endpoint .state')].map(({ innerText }) => innerText.trim())",
    );
    assert_eq!(words, HashSet::from(["ready".to_owned(), "down".to_owned()]));
}

/// How many rows there are, heads of columns and of rows, and cells; and what screen
/// readers are told, at a moment at which no container comes or goes.
fn tree(page: &Page) -> ([usize; 4], Vec<Node>) {
    let there = || -> [usize; 4] {
        page.run(
            "return ['tr', 'thead th', 'tbody th', 'tbody td']
                .map((these) => document.querySelectorAll(these).length)",
        )
    };
    page.browser.devtools("Accessibility.enable", &json!({}));
    wait::until("a quiet moment", String::new, || {
        let before = there();
        let tree = page.browser.devtools("Accessibility.getFullAXTree", &json!({}));
        let nodes = tree["nodes"].as_array().unwrap().iter().filter_map(Node::of).collect();
        (there() == before).then_some((before, nodes))
    })
}

/// What a screen reader is told of one thing.
#[derive(Debug)]
struct Node {
    role: String,
    name: String,
    focusable: bool,
    /// Of a heading.
    level: Option<u64>,
}

impl Node {
    fn of(node: &Value) -> Option<Self> {
        if node["ignored"] == true {
            return None;
        }
        let property = |name: &str| {
            let all = node["properties"].as_array()?;
            all.iter()
                .find(|property| property["name"] == name)
                .map(|found| &found["value"]["value"])
        };
        let text = |what: &str| node[what]["value"].as_str().unwrap_or_default().to_owned();
        let role = text("role");
        let level = property("level").and_then(Value::as_u64).filter(|_| role == "heading");
        // The page as a whole is named by its title.
        let focusable = property("focusable").is_some_and(|it| it == true) && role != "RootWebArea";
        Some(Self { name: text("name"), focusable, level, role })
    }
}

fn the_page_is_legible_in_light_and_dark(scope: &Scope) {
    let (_lb, page) = with_all_there_is(scope);
    let _: () = page.run(
        "document.querySelector('details').open = true;
         document.getElementById('keys').show();
         document.querySelector('.skip').focus()",
    );
    let background = "return getComputedStyle(document.body).backgroundColor";
    let mut backgrounds = HashSet::new();
    for theme in ["light", "dark"] {
        page.prefer(&[("prefers-color-scheme", theme)]);
        backgrounds.insert(page.run::<String>(background));
        let (looked, found): (usize, Vec<String>) = page.run(include_str!("contrast.js"));
        assert!(looked > 60, "only {looked} texts");
        assert_eq!(found, Vec::<String>::new(), "in {theme}");
        // The choice outranks the system's.
        let other = if theme == "light" { "dark" } else { "light" };
        let _: () = page
            .browser
            .run("document.documentElement.dataset.theme = arguments[0]", &json!([other]));
        backgrounds.insert(page.run::<String>(background));
        let _: () = page.run("delete document.documentElement.dataset.theme");
    }
    assert_eq!(backgrounds.len(), 2, "{backgrounds:?}");

    // The chosen theme is there again after a reload, before anything is painted.
    page.prefer(&[("prefers-color-scheme", "light")]);
    let _: () = page.run("document.getElementById('keys').close(); document.activeElement.blur()");
    page.browser.press("t");
    page.browser.press("t");
    let dark: String = page.run(background);
    let _: () = page.run("location.reload()");
    page.until_link_is("live");
    assert_eq!(page.run::<String>(background), dark);
    page.is_content();
}

fn no_width_and_no_size_of_text_scrolls_the_page_sideways(scope: &Scope) {
    let (lb, page) = with_all_there_is(scope);
    fits(&page, 16, &[320, 375, 600, 768, 1024, 1280, 1440, 2560]);
    drop(page);
    let page = Page::of(Browser::with_text(32), &lb);
    let _: bool = page.browser.until("return document.querySelector('tbody') !== null", &json!([]));
    fits(&page, 32, &[375, 768, 1280, 1440]);
}

/// Nothing is wider than the window, if that is as wide as any of these.
fn fits(page: &Page, text: u32, widths: &[u32]) {
    let size: String = page.run("return getComputedStyle(document.documentElement).fontSize");
    assert_eq!(size, format!("{text}px"));
    for width in widths {
        page.size(*width, 900);
        let wider: Vec<String> = page.run(
            "const { scrollWidth, clientWidth } = document.documentElement;
             const wider = [...document.querySelectorAll('header *, main *, footer *')]
                 .filter((it) => it.checkVisibility() && !it.closest('thead'))
                 .filter((it) => it.getBoundingClientRect().right > clientWidth + 1)
                 .map((it) => it.outerHTML.slice(0, 60));
             return scrollWidth > clientWidth ? [`${scrollWidth} > ${clientWidth}`, ...wider] : wider",
        );
        assert_eq!(wider, Vec::<String>::new(), "{width} px, text of {text} px");
        let why: f64 =
            page.run("return document.querySelector('td.why:not(:empty)')?.clientWidth ?? 1000");
        assert!(why >= 80.0, "{why} px for what is wrong at {width} px, text of {text} px");
        let (high, wide): (f64, f64) = page.run(
            "const { clientHeight, clientWidth } = document.getElementById('flight');
             return [clientHeight, clientWidth]",
        );
        assert!(high >= 300.0 && wide >= 250.0, "{wide} × {high} of a picture at {width} px");
    }
}

fn much_that_happens_on_the_page_is_few_sentences(scope: &Scope) {
    const NUMBER: usize = 8;
    let lb = Lb::start();
    let page = Page::open(&lb);
    let _: () = page.run(
        "window.sentences = [];
         const region = document.getElementById('announcer');
         new MutationObserver(() => window.sentences.push([Date.now(), region.textContent]))
             .observe(region, { characterData: true, childList: true, subtree: true })",
    );
    let apps: Vec<_> =
        (0..NUMBER).map(|at| scope.app(&format!("app{at}")).hosts(&["app"]).start()).collect();
    lb.ready(&scope.host("app"), NUMBER);
    for app in &apps {
        page.until_said(&format!("{} is ready", app.name));
    }
    // The last sentence is the last event, whenever that is said.
    let last: String = page.run("return document.querySelector('#log .said').textContent");
    let told = "return window.sentences.at(-1)?.[1].startsWith(arguments[0]) ?? false";
    let _: bool = page.browser.until(told, &json!([last]));
    let sentences: Vec<(u64, String)> = page.run("return window.sentences");
    let near: Vec<_> = sentences.windows(2).filter(|pair| pair[1].0 - pair[0].0 < 3_500).collect();
    assert!(near.is_empty(), "{near:?}");
}
