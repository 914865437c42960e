//! One page that needs nothing else: style, script and the report itself are in it.

use super::Report;

/// The page around them; `{{…}}` says where the rest goes.
const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
/// In the order in which they need each other.
const SCRIPTS: [&str; 4] = [
    include_str!("page/figures.js"),
    include_str!("page/chart.js"),
    include_str!("page/charts.js"),
    include_str!("page/page.js"),
];

/// The report as one HTML page.
pub fn html(report: &Report) -> String {
    let title = format!("{} against {}", report.scenario, report.server);
    let mut page = String::new();
    let mut rest = PAGE;
    // Once from front to back: what was put in is not looked at again.
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
    {
        page += before;
        match name {
            "title" => page += &escaped(&title),
            "style" => page += STYLE,
            "report" => page += &json_in_html(report),
            "script" => SCRIPTS.iter().for_each(|script| page += script),
            _ => {}
        }
        rest = after;
    }
    page += rest;
    page
}

/// JSON that cannot end the element that it is in: these characters are in strings only, and mean the
/// same when written as escapes.
fn json_in_html(report: &Report) -> String {
    let json = serde_json::to_string(report).expect("a report is plain data");
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => text += "\\u003c",
            '>' => text += "\\u003e",
            '&' => text += "\\u0026",
            c => text.push(c),
        }
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{busy, failed, nothing};

    const BEFORE: &str = r#"<script type="application/json" id="report">"#;

    /// What a browser takes the report to be: all up to the next end of a script.
    fn embedded(page: &str) -> serde_json::Value {
        let (_, behind) = page.split_once(BEFORE).expect("the report is in the page");
        let (json, _) = behind.split_once("</script").expect("it ends");
        serde_json::from_str(json).expect("it is JSON")
    }

    #[test]
    fn the_report_comes_out_of_the_page_as_it_went_in() {
        for report in [busy(), failed(), nothing()] {
            let told = serde_json::from_str::<serde_json::Value>(&super::super::json(&report)).expect("JSON");
            assert_eq!(embedded(&html(&report)), told);
            serde_json::from_value::<Report>(told).expect("a report can be read again");
        }
    }

    #[test]
    fn the_page_refers_to_nothing_outside() {
        let page = html(&busy());
        let (before, behind) = page.split_once(BEFORE).expect("the report is in the page");
        let (_, after) = behind.split_once("</script").expect("it ends");
        // The one address is a name: that of SVG's elements.
        let page = format!("{before}{after}").replace("http://www.w3.org/2000/svg", "");
        for reference in
            ["http:", "https:", "//cdn", "src=", "url(", "@import", "fetch(", "import(", "XMLHttp"]
        {
            assert!(!page.contains(reference), "{reference} in the page");
        }
        let links: Vec<_> = page.match_indices("href=").map(|(at, _)| &page[at..at + 12]).collect();
        assert_eq!(links, ["href=\"data:,"], "only the icon, which is empty");
        assert!(page.contains("default-src 'none'"), "a browser is told to load nothing");
        assert!(!page.contains("{{"), "all is put in");
    }

    #[test]
    fn hostile_text_stays_text() {
        let tags = |page: &str| ["<script", "</script", "<img", "<!--"].map(|tag| page.matches(tag).count());
        let page = html(&failed());
        assert_eq!(tags(&page), tags(&html(&busy())));
        assert!(page.contains("alert(1)"), "it is in there, as text");
        assert!(!SCRIPTS.concat().contains("innerHTML"), "scripts make text nodes, not markup");
    }
}
