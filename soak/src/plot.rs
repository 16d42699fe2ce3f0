//! The pictures of a run: memory, latency, and what waits for readers, over time.

use crate::measure::{Window, exact};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (900, 360);
const FONT: &str = "sans-serif";

struct Picture {
    file: &'static str,
    title: &'static str,
    y: &'static str,
    of: fn(&Window) -> f64,
}

const PICTURES: [Picture; 5] = [
    Picture {
        file: "held.svg",
        title: "Had from the allocator at each check, and not given back",
        y: "MiB",
        of: |w| exact(w.held_kib) / 1024.0,
    },
    Picture {
        file: "resident.svg",
        title: "Resident memory at each check",
        y: "MiB",
        of: |w| exact(w.resident_kib) / 1024.0,
    },
    Picture {
        file: "latency.svg",
        title: "99.9 % of the timed calls of a window were quicker than",
        y: "µs",
        of: |w| exact(w.p999_ns) / 1000.0,
    },
    Picture {
        file: "retired.svg",
        title: "Most that waited for readers in a window",
        y: "KiB",
        of: |w| exact(w.retired_bytes) / 1024.0,
    },
    Picture {
        file: "rate.svg",
        title: "Operations a second of load",
        y: "millions",
        of: |w| w.rate / 1e6,
    },
];

/// Draws all pictures into a folder.
pub(crate) fn draw(windows: &[Window], folder: &Path) -> Result<(), String> {
    PICTURES.iter().try_for_each(|picture| {
        let points: Vec<(f64, f64)> =
            windows.iter().map(|w| (w.seconds / 60.0, (picture.of)(w))).collect();
        let text = svg(picture, &points).map_err(|error| error.to_string())?;
        std::fs::write(folder.join(picture.file), text).map_err(|error| error.to_string())
    })
}

type Failed<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn svg(picture: &Picture, points: &[(f64, f64)]) -> Result<String, String> {
    let mut text = String::new();
    chart(&mut text, picture, points).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

fn chart<'t>(
    text: &'t mut String,
    picture: &Picture,
    points: &[(f64, f64)],
) -> Result<(), Failed<'t>> {
    let most = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(0.0, f64::max).max(1e-3);
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(picture.title, (FONT, 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..most(|p| p.0), 0.0..most(|p| p.1) * 1.2)?;
    chart.configure_mesh().x_desc("minutes").y_desc(picture.y).light_line_style(WHITE).draw()?;
    let style = RGBColor(200, 30, 30).stroke_width(2);
    chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
    area.present()
}
