//! Pictures: time against entries with the limits of the memory, bars of ratios and of bytes,
//! curves of latency, and efficiency over threads.

use super::document::Records;
use super::goals::is_peer;
use super::table::{grouped, workload_name};
use super::{Latency, Row, Spread, Table};
use crate::workloads::Workload;
use anyhow::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::collections::BTreeMap;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A line: whose, and its points.
type Line = (String, Vec<(f64, f64)>);

const SIZE: (u32, u32) = (900, 560);
const FONT: &str = "sans-serif";
const OURS: RGBColor = RGBColor(200, 30, 30);
const LIMIT: RGBColor = RGBColor(120, 120, 120);
const PEERS: [RGBColor; 12] = [
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
    RGBColor(140, 86, 75),
    RGBColor(23, 190, 207),
    RGBColor(227, 119, 194),
    RGBColor(188, 189, 34),
    RGBColor(0, 90, 90),
    RGBColor(90, 90, 200),
    RGBColor(150, 150, 60),
    RGBColor(60, 60, 60),
];

/// Every picture that the records of the rows give: its file name and its text.
///
/// # Errors
/// If one can't be drawn.
pub fn plots(records: &Records) -> Result<Vec<(String, String)>> {
    // The others are of the same kinds, and have tables alone.
    let drawn = records.rows().filter(|(name, _)| name.starts_with('W') || *name == "L");
    let tables: Vec<&Table> = drawn.flat_map(|(_, record)| &record.tables).collect();
    let of = |workload| tables.iter().copied().filter(move |t| t.workload == workload);
    let mut all = Vec::new();
    let mut add = |name: String, picture: Option<String>| all.extend(picture.map(|p| (name, p)));
    add("time-hit.svg".into(), over_entries(&of(Workload::Hit).collect::<Vec<_>>())?);
    for table in &tables {
        use Workload::{Batch, CycleTimed, Hit, Miss, MissBatch, Mix};
        if matches!(table.workload, Hit | Batch | Miss | MissBatch | CycleTimed | Mix) {
            let meant = table.nominal.unwrap_or(table.entries);
            let name = format!("ratio-{}-{meant}.svg", workload_name(table.workload));
            add(name, ratios(table)?);
        }
    }
    for table in of(Workload::Footprint) {
        add("memory.svg".into(), memory(table)?);
    }
    for workload in [Workload::GetLatency, Workload::InsertLatency] {
        for table in of(workload) {
            add(format!("{}.svg", workload_name(workload)), latencies(table)?);
        }
    }
    let threads = [
        Workload::HitThreads,
        Workload::MissThreads,
        Workload::CycleThreads,
        Workload::InsertThreads,
    ];
    for workload in threads {
        for table in of(workload) {
            let meant = table.nominal.unwrap_or(table.entries);
            add(format!("{}-{meant}.svg", workload_name(workload)), scaling(table)?);
        }
    }
    Ok(all)
}

fn picture(size: (u32, u32), draw: impl FnOnce(&Area) -> Result<()>) -> Result<Option<String>> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE).map_err(drawing)?;
        draw(&area)?;
        area.present().map_err(drawing)?;
    }
    Ok(Some(text + "\n"))
}

/// Errors of drawings borrow what they were drawn on.
fn drawing(error: impl std::fmt::Display) -> Error {
    anyhow::anyhow!("drawing: {error}")
}

#[expect(clippy::cast_precision_loss, reason = "entries and nanoseconds are exact in a double")]
fn exact(n: u64) -> f64 {
    n as f64
}

/// The same colour for the same contestant in every picture.
fn colours(names: &[String]) -> BTreeMap<String, RGBColor> {
    let family = |name: &str| name.split([',', ' ']).next().unwrap_or_default().to_owned();
    let known = [
        "papaya",
        "scc",
        "dashmap",
        "quick_cache",
        "16",
        "foyer",
        "TinyUFO",
        "segcache",
        "mini-moka",
        "moka",
        "rustls's",
    ];
    let colour = |name: &String| match name {
        name if name.starts_with("halfshake") => OURS,
        name if !is_peer(name) => LIMIT,
        name => known.iter().position(|k| *k == family(name)).map_or(PEERS[11], |i| PEERS[i]),
    };
    names.iter().map(|name| (name.clone(), colour(name))).collect()
}

/// What a chart says around its lines.
struct Captions<'c> {
    title: &'c str,
    x: &'c str,
    y: &'c str,
    /// How a place on the horizontal axis is told.
    at: &'c dyn Fn(&f64) -> String,
    /// Where it says whose line is whose,
    names: SeriesLabelPosition,
    /// and how much wider the axis is for that.
    room: f64,
}

/// Lines on two logarithmic axes.
fn chart(area: &Area, captions: &Captions, lines: &[Line]) -> Result<()> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MIN, f64::max);
    let least = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MAX, f64::min);
    let x = (least(|p| p.0)..most(|p| p.0) * captions.room).log_scale();
    let y = (least(|p| p.1) * 0.8..most(|p| p.1) * 1.3).log_scale();
    let mut chart = ChartBuilder::on(area)
        .caption(captions.title, (FONT, 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)
        .map_err(drawing)?;
    chart
        .configure_mesh()
        .x_desc(captions.x)
        .y_desc(captions.y)
        .x_label_formatter(captions.at)
        .y_label_formatter(&|ns| short(*ns))
        .light_line_style(WHITE)
        .draw()
        .map_err(drawing)?;
    let names: Vec<String> = lines.iter().map(|(name, _)| name.clone()).collect();
    let colours = colours(&names);
    for (name, points) in lines {
        let colour = colours[name];
        let width = if is_peer(name) { 1 } else { 3 };
        let style = colour.stroke_width(width);
        let drawn = LineSeries::new(points.iter().copied(), style);
        let series = chart.draw_series(drawn).map_err(drawing)?;
        series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(captions.names.clone())
        .label_font((FONT, 11))
        .background_style(WHITE.mix(0.8))
        .draw()
        .map_err(drawing)
}

/// Nanoseconds in few digits.
fn short(ns: f64) -> String {
    match ns {
        ns if ns >= 1e6 => format!("{} ms", ns / 1e6),
        ns if ns >= 1e3 => format!("{} µs", ns / 1e3),
        ns => format!("{ns} ns"),
    }
}

/// Time against entries; the limits are grey.
fn over_entries(tables: &[&Table]) -> Result<Option<String>> {
    let mut lines: Vec<Line> = Vec::new();
    for table in tables {
        for row in table.rows.iter().filter(|row| row.name != "(nobody)") {
            let point = (exact(table.entries), row.thread_ns.median);
            match lines.iter_mut().find(|(name, _)| *name == row.name) {
                Some((_, points)) => points.push(point),
                None => lines.push((row.name.clone(), vec![point])),
            }
        }
    }
    for (_, points) in &mut lines {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines.retain(|(_, points)| points.len() > 1);
    if lines.is_empty() {
        return Ok(None);
    }
    let captions = Captions {
        title: "A hit that depends on the one before (grey: what one and two reads take)",
        x: "entries",
        y: "processor time",
        at: &|n| format!("{n}"),
        names: SeriesLabelPosition::LowerRight,
        room: 20.0,
    };
    picture(SIZE, |area| chart(area, &captions, &lines))
}

/// A bar for each peer: its time as a multiple of the reference's.
fn ratios(table: &Table) -> Result<Option<String>> {
    let shown = |row: &&Row| row.name != "(nobody)" && row.ratio.median > 0.0;
    let bars: Vec<_> =
        table.rows.iter().filter(shown).map(|row| (row.name.clone(), row.ratio)).collect();
    let reference = table.rows.first().map(|row| row.reference.clone()).unwrap_or_default();
    let name = workload_name(table.workload);
    let entries = grouped(table.entries);
    let title = format!("{name}, {entries} entries: time as a multiple of \"{reference}\"");
    bar_chart(&title, bars, f64::ln, &|ratio| format!("{ratio:.2}"))
}

fn memory(table: &Table) -> Result<Option<String>> {
    let beyond = |row: &Row| {
        let values = row.figures.get("bytes beyond key and value")?;
        Some((row.name.clone(), Spread::of(values.iter().copied())))
    };
    let entries = grouped(table.entries);
    let title = format!("Bytes of an entry beyond its key and its value, {entries} entries");
    let bars = table.rows.iter().filter_map(beyond).collect();
    bar_chart(&title, bars, |bytes| bytes, &|bytes| format!("{bytes:.0}"))
}

/// Bars that say what they are long for, so there is no axis; a line marks one.
fn bar_chart(
    title: &str,
    mut bars: Vec<(String, Spread)>,
    length: fn(f64) -> f64,
    shown: &dyn Fn(f64) -> String,
) -> Result<Option<String>> {
    bars.retain(|(_, value)| value.median > 0.0);
    bars.sort_by(|a, b| b.1.median.total_cmp(&a.1.median));
    let Some((_, longest)) = bars.first() else { return Ok(None) };
    let right = length(longest.median);
    let left = bars.iter().map(|(_, value)| length(value.median)).fold(length(1.0), f64::min);
    let left = left - (right - left) / 10.0;
    let names: Vec<String> = bars.iter().map(|(name, _)| name.clone()).collect();
    let colours = colours(&names);
    let height = 60 + 26 * u32::try_from(bars.len()).unwrap_or(0);
    picture((SIZE.0, height), |area| {
        let count = i32::try_from(bars.len()).unwrap_or(0);
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 16))
            .margin(12)
            .margin_left(250)
            .margin_right(150)
            .build_cartesian_2d(left..right, 0..count)
            .map_err(drawing)?;
        let spots: Vec<_> = (0..count).zip(&bars).collect();
        let bodies = spots.iter().map(|(at, (name, value))| {
            let corners = [(left, *at), (length(value.median), at + 1)];
            let mut body = Rectangle::new(corners, colours[name].mix(0.75).filled());
            body.set_margin(4, 4, 0, 0);
            body
        });
        chart.draw_series(bodies).map_err(drawing)?;
        let one = [(length(1.0), 0), (length(1.0), count)];
        chart.draw_series([PathElement::new(one, BLACK.mix(0.5))]).map_err(drawing)?;
        for (at, (name, value)) in spots {
            let (end, bottom) = chart.backend_coord(&(length(value.median), at));
            let style = (FONT, 12).into_text_style(area);
            let told = [value.median, value.q1, value.q3].map(shown);
            let spread = format!("{} [{}-{}]", told[0], told[1], told[2]);
            let baseline = bottom - 19;
            area.draw(&Text::new(spread, (end + 6, baseline), style.clone())).map_err(drawing)?;
            area.draw(&Text::new(name.clone(), (12, baseline), style)).map_err(drawing)?;
        }
        Ok(())
    })
}

/// Curves over nines, one panel for each thing that goes on meanwhile.
fn latencies(table: &Table) -> Result<Option<String>> {
    let mut panels: BTreeMap<&str, Vec<Line>> = BTreeMap::new();
    for row in &table.rows {
        if let (Some((_, what)), Some(latency)) = (row.name.rsplit_once(", "), &row.latency) {
            let who = row.name[..row.name.len() - what.len() - 2].to_owned();
            panels.entry(what).or_default().push((who, curve(latency)));
        }
    }
    if panels.is_empty() {
        return Ok(None);
    }
    // The control is the same whatever goes on.
    let is_control = |line: &&Line| line.0 == "(nobody)";
    let control = panels.values().flatten().find(is_control).cloned();
    for lines in panels.values_mut() {
        if !lines.iter().any(|line| is_control(&line)) {
            lines.extend(control.clone());
        }
    }
    let what = workload_name(table.workload);
    picture((SIZE.0 * 3 / 2, SIZE.1 * 3 / 2), |area| {
        for (area, (meanwhile, lines)) in area.split_evenly((2, 2)).iter().zip(&panels) {
            let captions = Captions {
                title: &format!("{what}: {meanwhile}"),
                x: "one of so many takes longer",
                y: "time on the wall",
                at: &|n| format!("{n:.0}"),
                names: SeriesLabelPosition::UpperLeft,
                room: 1.05,
            };
            chart(area, &captions, lines)?;
        }
        Ok(())
    })
}

fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    let count = exact(latency.count);
    let one_of = |share: f64| 1.0 / (1.0 - share);
    let told = latency.curve.iter().filter(|(share, _)| one_of(*share) <= count);
    told.map(|(share, ns)| (one_of(*share), exact((*ns).max(1)))).collect()
}

/// Efficiency: the time of one thread as a part of that of more.
fn scaling(table: &Table) -> Result<Option<String>> {
    let mut lines: Vec<Line> = Vec::new();
    for row in &table.rows {
        let Some((who, threads)) = row.name.rsplit_once(", ") else { continue };
        let Some(threads) = threads.split(' ').next().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let point = (threads, 1.0 / row.ratio.median);
        match lines.iter_mut().find(|(name, _)| name == who) {
            Some((_, points)) => points.push(point),
            None => lines.push((who.to_owned(), vec![point])),
        }
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let name = workload_name(table.workload);
    let title = format!("{name}, {} entries: efficiency (1 is perfect)", grouped(table.entries));
    picture(SIZE, |area| {
        let most = lines.iter().flat_map(|(_, points)| points).map(|p| p.0).fold(2.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(1.0..most, 0.0..1.4)
            .map_err(drawing)?;
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(WHITE).x_desc("threads").y_desc("efficiency");
        mesh.draw().map_err(drawing)?;
        let names: Vec<String> = lines.iter().map(|(name, _)| name.clone()).collect();
        let colours = colours(&names);
        for (name, points) in &lines {
            let style = colours[name].stroke_width(if is_peer(name) { 1 } else { 3 });
            let drawn = LineSeries::new(points.iter().copied(), style).point_size(3);
            let series = chart.draw_series(drawn).map_err(drawing)?;
            series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::LowerLeft).label_font((FONT, 11));
        labels.background_style(WHITE.mix(0.8)).draw().map_err(drawing)
    })
}
