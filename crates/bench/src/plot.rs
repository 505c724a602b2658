//! A picture of the ratios.
use std::fmt::{self, Write as _};

use crate::{
    report::{Report, Row},
    scenario::Target,
};

const ROW: u32 = 20;
const LEFT: u32 = 330;
const WIDTH: f64 = 520.0;
const TOP: u32 = 50;

/// Bars: how many times P each scenario takes, with its target as a line.
pub(crate) fn svg(report: &Report) -> Result<String, fmt::Error> {
    let longest = report.rows.iter().map(|row| row.to_practical).fold(1.0, f64::max);
    let scale = WIDTH / longest;
    let count = u32::try_from(report.rows.len()).unwrap_or(u32::MAX / ROW / 2);
    let (width, height) = (LEFT + 650, TOP + count * ROW + 20);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">Time per packet, as a multiple of P \
         (exchange the addresses, add an IPIP header)</text>\n\
         <text x=\"10\" y=\"40\" fill=\"#666\">line: target; numbers: multiple of P, \
         nanoseconds</text>\n"
    );
    for (row, number) in report.rows.iter().zip(0..count) {
        bar(&mut svg, row, TOP + number * ROW, scale)?;
    }
    Ok(svg + "</svg>\n")
}

fn bar(svg: &mut String, row: &Row, y: u32, scale: f64) -> fmt::Result {
    let length = row.to_practical * scale;
    let colour = match row.is_met() {
        Some(true) => "#4c8c4a",
        Some(false) => "#c0504d",
        None => "#7f9db9",
    };
    let (x, middle) = (LEFT - 8, y + 14);
    writeln!(svg, "<text x=\"{x}\" y=\"{middle}\" text-anchor=\"end\">{}</text>", row.name)?;
    writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"14\" fill=\"{colour}\"/>",
        y + 3
    )?;
    let target = match row.target {
        Some(Target::Practical(most)) => Some(most),
        // In the unit of the axis.
        Some(Target::Floor(most)) => Some(most * row.to_practical / row.to_floor),
        None => None,
    };
    if let Some(target) = target {
        let at = f64::from(LEFT) + target * scale;
        writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{y}\" y2=\"{}\" stroke=\"black\"/>",
            y + ROW
        )?;
    }
    writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{middle}\" fill=\"#333\">{:.2}  ({} ns)</text>",
        f64::from(LEFT) + length + 6.0,
        row.to_practical,
        row.nanos.median
    )
}
