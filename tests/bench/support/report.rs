//! Figures as a table and as a plot in the documentation.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One bar for each name, in groups.
pub struct Plot<'a> {
    pub title: &'a str,
    pub groups: &'a [String],
    /// A name with a figure for each group.
    pub series: Vec<(&'a str, Vec<f64>)>,
}

const COLOURS: [&str; 8] = [
    "#1f6f8b", "#9aa5b1", "#2a9d8f", "#c3cbd4", "#e9a23b", "#b7a99a", "#c8553d", "#d9c3bd",
];
const WIDTH: f64 = 760.0;
const LABELS: f64 = 270.0;
const BAR: f64 = 15.0;

impl Plot<'_> {
    /// Horizontal bars, as SVG.
    pub fn svg(&self) -> String {
        let most = self.series.iter().flat_map(|(_, figures)| figures);
        let most = most.copied().fold(f64::MIN_POSITIVE, f64::max);
        let group = BAR * self.series.len() as f64 + 34.0;
        let height = 34.0 + group * self.groups.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"11\" fill=\"#333\">\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"8\" y=\"18\" font-size=\"14\">{}</text>\n",
            self.title
        );
        for (index, name) in self.groups.iter().enumerate() {
            let top = 34.0 + group * index as f64;
            let _ = writeln!(
                svg,
                "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{name}</text>",
                top + 12.0
            );
            for (row, (name, figures)) in self.series.iter().enumerate() {
                let y = top + 18.0 + BAR * row as f64;
                let width = figures[index] / most * (WIDTH - LABELS - 60.0);
                let _ = writeln!(
                    svg,
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\
                     <rect x=\"{LABELS}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{}\"/>\
                     <text x=\"{:.1}\" y=\"{}\">{:.0}</text>",
                    LABELS - 6.0,
                    y + 10.0,
                    BAR - 3.0,
                    COLOURS[row % COLOURS.len()],
                    LABELS + width + 5.0,
                    y + 10.0,
                    figures[index]
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Was the benchmark asked to write into the documentation (`-- --write`)?
pub fn is_to_be_written() -> bool {
    std::env::args().any(|argument| argument == "--write")
}

/// Writes docs/plots/NAME.svg, and `table` between the marks of NAME in docs/speed.md.
pub fn write(name: &str, table: &str, plot: &Plot<'_>) {
    let docs = docs();
    std::fs::create_dir_all(docs.join("plots")).expect("a folder");
    std::fs::write(docs.join(format!("plots/{name}.svg")), plot.svg()).expect("a plot");
    let path = docs.join("speed.md");
    let text = std::fs::read_to_string(&path).expect("docs/speed.md");
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let (before, rest) = text.split_once(&begin).expect("the mark of the beginning");
    let (_, after) = rest.split_once(&end).expect("the mark of the end");
    let text = format!(
        "{before}{begin}{table}\n![{}](plots/{name}.svg)\n{end}{after}",
        plot.title
    );
    std::fs::write(path, text).expect("docs/speed.md");
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}
