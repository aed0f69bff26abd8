//! The page: files that are part of the program.

/// A file of the page: what it is, and what is in it.
pub(crate) fn file(name: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(known, ..)| *known == name).map(|(_, kind, text)| (*kind, *text))
}

/// What the page may load: what it takes, and nothing from anywhere else. The hash is that
/// of the script within the page.
pub(crate) const POLICY: &str = "default-src 'none'; \
    script-src 'self' 'sha256-r+hW1ZevC2l8D238hViPmBT58wzchvzc1urpZy9Kuvk='; \
    style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! script {
    ($name:literal) => {
        ($name, SCRIPT, include_str!(concat!("page/", $name)))
    };
}

/// Each by its name below `/live/`.
const FILES: &[(&str, &str, &str)] = &[
    ("", HTML, include_str!("page/index.html")),
    ("page.css", CSS, include_str!("page/page.css")),
    ("icon.svg", SVG, include_str!("page/icon.svg")),
    script!("announce.js"),
    script!("controls.js"),
    script!("dom.js"),
    script!("feed.js"),
    script!("figures.js"),
    script!("flight.js"),
    script!("format.js"),
    script!("geometry.js"),
    script!("log.js"),
    script!("model.js"),
    script!("page.js"),
    script!("paint.js"),
    script!("rows.js"),
    script!("scene.js"),
    script!("shapes.js"),
    script!("table.js"),
];

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use aws_lc_rs::digest::{SHA256, digest};
    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::{FILES, POLICY, file};

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/live/page");
        let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
        let there: BTreeSet<_> = names.map(|name| name.into_string().unwrap()).collect();
        let served: BTreeSet<_> = FILES
            .iter()
            .map(|(name, ..)| if name.is_empty() { "index.html" } else { name }.to_owned())
            .collect();
        assert_eq!(served, there);
    }
    #[test]
    fn the_script_within_the_page_may_run() {
        let (_, page) = file("").unwrap();
        let (_, rest) = page.split_once("<script>").unwrap();
        let (script, _) = rest.split_once("</script>").unwrap();
        let hash = BASE64_STANDARD.encode(digest(&SHA256, script.as_bytes()));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "POLICY has to have {hash}");
    }
}
