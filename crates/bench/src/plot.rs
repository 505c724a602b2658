//! Pictures of bars.
use std::fmt::{self, Write as _};

use crate::report::{Report, Row};

const ROW: u32 = 20;
const LEFT: u32 = 330;
const WIDTH: f64 = 520.0;
const TOP: u32 = 50;

/// Colours: of what is good, or ours; of what is not; of what is only compared with; of neither.
pub(crate) const OURS: &str = "#4c8c4a";
const BAD: &str = "#c0504d";
pub(crate) const THEIRS: &str = "#7f9db9";
pub(crate) const NEUTRAL: &str = "#999999";

/// Bars below a title.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) bars: Vec<Bar>,
}

/// One row.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) length: f64,
    /// What is written behind it.
    pub(crate) label: String,
    pub(crate) colour: &'static str,
    /// Where a line crosses it.
    pub(crate) mark: Option<f64>,
}

/// How many times P each scenario takes, with its target as a line.
pub(crate) fn chart(report: &Report) -> Chart {
    Chart {
        title: "Time per packet, as a multiple of P (exchange the addresses, add an IPIP header)"
            .to_owned(),
        note: "line: target; numbers: multiple of P, nanoseconds".to_owned(),
        bars: report.rows.iter().map(bar).collect(),
    }
}

fn bar(row: &Row) -> Bar {
    Bar {
        name: row.name.clone(),
        length: row.to_practical,
        label: format!("{:.2}  ({:.0} ns)", row.to_practical, row.nanos.median),
        colour: match row.is_met() {
            Some(true) => OURS,
            Some(false) => BAD,
            None => THEIRS,
        },
        mark: row.most_practical(),
    }
}

/// Charts, one below the other.
pub(crate) fn svg(charts: &[Chart]) -> Result<String, fmt::Error> {
    let height = |chart: &Chart| {
        let count = u32::try_from(chart.bars.len()).unwrap_or(u32::MAX / ROW / 2);
        TOP + count * ROW + 20
    };
    let (width, total) = (LEFT + 650, charts.iter().map(height).sum::<u32>());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{total}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut top = 0;
    for chart in charts {
        draw(&mut svg, chart, top)?;
        top += height(chart);
    }
    Ok(svg + "</svg>\n")
}

fn draw(svg: &mut String, chart: &Chart, top: u32) -> fmt::Result {
    let Chart { title, note, bars } = chart;
    writeln!(svg, "<text x=\"10\" y=\"{}\" font-size=\"15\">{title}</text>", top + 22)?;
    writeln!(svg, "<text x=\"10\" y=\"{}\" fill=\"#666\">{note}</text>", top + 40)?;
    let longest = bars.iter().map(|bar| bar.length).fold(1.0, f64::max);
    for (bar, number) in bars.iter().zip(0..) {
        draw_bar(svg, bar, top + TOP + number * ROW, WIDTH / longest)?;
    }
    Ok(())
}

fn draw_bar(svg: &mut String, bar: &Bar, y: u32, scale: f64) -> fmt::Result {
    let Bar { name, length, label, colour, mark } = bar;
    let length = length * scale;
    let (x, middle) = (LEFT - 8, y + 14);
    writeln!(svg, "<text x=\"{x}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>")?;
    writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"14\" fill=\"{colour}\"/>",
        y + 3
    )?;
    if let Some(mark) = mark {
        let at = f64::from(LEFT) + mark * scale;
        writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{y}\" y2=\"{}\" stroke=\"black\"/>",
            y + ROW
        )?;
    }
    writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{middle}\" fill=\"#333\">{label}</text>",
        f64::from(LEFT) + length + 6.0
    )
}
