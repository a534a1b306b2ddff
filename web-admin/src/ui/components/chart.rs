//! Bars over time, drawn as SVG.
//!
//! Holds: what the drawing shows is said in its description as well, and a table below has the numbers for who wants them.

use leptos::prelude::*;

use crate::{format, messages::t};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 46.0;
const BOTTOM: f64 = 22.0;
const TOP: f64 = 10.0;
/// Names below the bars that have room.
const LABELS_MAX: usize = 8;

/// One bar: its name, and the height of each part.
#[derive(Clone, Debug)]
pub struct Bar {
    pub name: String,
    pub parts: Vec<u64>,
}

/// `parts`: what the parts of every bar are called, at most four.
pub fn bars(title: &'static str, parts: &[&'static str], bars: &[Bar]) -> AnyView {
    let highest = bars.iter().map(|bar| bar.parts.iter().sum::<u64>()).max();
    let top = nice(highest.unwrap_or(0));
    let y = |value: u64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value as f64 / top as f64;
    let step = (WIDTH - LEFT) / bars.len().max(1) as f64;
    let width = (step * 0.72).min(46.0);
    let lines = (0..=4).map(|quarter| {
        let value = top * quarter / 4;
        let at = format!("{:.1}", y(value));
        let text = format!("{:.1}", y(value) + 4.0);
        view! {
            <line class="grid" x1=LEFT.to_string() x2=WIDTH.to_string() y1=at.clone() y2=at></line>
            <text x=(LEFT - 6.0).to_string() y=text text-anchor="end">{format::count(value)}</text>
        }
    });
    let every = bars.len().div_ceil(LABELS_MAX).max(1);
    let drawn = bars.iter().enumerate().map(|(at, bar)| {
        let middle = LEFT + step * (at as f64 + 0.5);
        let mut below = 0;
        let rects = bar.parts.iter().enumerate().map(|(part, value)| {
            let (from, to) = (y(below), y(below + value));
            below += value;
            view! {
                <rect class=format!("s{part}") x=format!("{:.1}", middle - width / 2.0) width=format!("{width:.1}")
                    y=format!("{to:.1}") height=format!("{:.1}", from - to)></rect>
            }
        });
        let rects = rects.collect_view();
        let name = at.is_multiple_of(every).then(|| {
            view! { <text x=format!("{middle:.1}") y=(HEIGHT - 5.0).to_string() text-anchor="middle">{bar.name.clone()}</text> }
        });
        view! { {rects} {name} }
    });
    let (lines, drawn) = (lines.collect_view(), drawn.collect_view());
    let legend = parts.iter().enumerate().map(|(part, name)| {
        view! {
            <span><svg class="chart" viewBox="0 0 12 12" aria-hidden="true"><rect class=format!("s{part}") width="12" height="12" rx="3"></rect></svg>{*name}</span>
        }
    });
    let legend = legend.collect_view();
    let sums = parts.iter().enumerate().map(|(part, name)| {
        let sum: u64 = bars.iter().filter_map(|bar| bar.parts.get(part)).sum();
        format!("{name}: {}", format::count(sum))
    });
    let said = format!("{title}. {}", sums.collect::<Vec<_>>().join(", "));
    let head = parts
        .iter()
        .map(|name| view! { <th class="number" scope="col">{*name}</th> })
        .collect_view();
    let rows = bars.iter().map(|bar| {
        let cells = bar
            .parts
            .iter()
            .map(|value| view! { <td class="number">{format::count(*value)}</td> });
        view! { <tr><th scope="row">{bar.name.clone()}</th>{cells.collect_view()}</tr> }
    });
    let rows = rows.collect_view();
    view! {
        <svg class="chart" viewBox=format!("0 0 {WIDTH} {HEIGHT}") role="img" aria-label=said>{lines}{drawn}</svg>
        <div class="legend">{legend}</div>
        <details>
            <summary>{t().as_table}</summary>
            <table><thead><tr><th scope="col">{t().when}</th>{head}</tr></thead><tbody>{rows}</tbody></table>
        </details>
    }
    .into_any()
}

/// The next number that can be halved twice and is easy to read; at least 4.
fn nice(highest: u64) -> u64 {
    let mut scale = 1;
    loop {
        for step in [4, 8, 12, 20, 40] {
            if highest <= step * scale {
                return step * scale;
            }
        }
        scale *= 10;
    }
}
