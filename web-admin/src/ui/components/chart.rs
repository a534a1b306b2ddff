//! Numbers over time, drawn as SVG: bars for what is counted, a line for what rises and falls.
//!
//! Holds: what the drawing shows is said in its name as well, and a table below has the numbers for who wants them; the writing is no
//! part of the drawing, so it stays readable on a phone.

use leptos::prelude::*;

use crate::{course, format, messages::t};

/// The drawing is as high as this, and as wide as there are points; it is stretched to its place.
const HEIGHT: f64 = 100.0;
const STEP: f64 = 10.0;
const BAR: f64 = 7.0;
/// Names below the drawing.
const NAMES_MAX: usize = 5;
/// Of a line beside a number.
const SPARK_POINTS_MAX: usize = 36;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Of several series, one stands on the other.
    Bars,
    Line,
}

/// What is drawn in one colour.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: &'static str,
    /// `s0` to `s3` of the style.
    pub colour: usize,
    pub values: Vec<u64>,
}

/// What went well, or is all there is to say.
pub fn plain(name: &'static str, values: Vec<u64>) -> Series {
    Series {
        name,
        colour: 0,
        values,
    }
}

pub fn second(name: &'static str, values: Vec<u64>) -> Series {
    Series {
        name,
        colour: 1,
        values,
    }
}

/// What went wrong.
pub fn bad(name: &'static str, values: Vec<u64>) -> Series {
    Series {
        name,
        colour: 2,
        values,
    }
}

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Chart {
    pub title: &'static str,
    pub kind: Kind,
    /// What the points are called, oldest first.
    pub points: Vec<String>,
    /// Each with a value for each point.
    pub series: Vec<Series>,
    /// How a value is said.
    pub show: fn(u64) -> String,
}

impl Chart {
    /// Values of a point, one of each series.
    fn at(&self, point: usize) -> impl Iterator<Item = (&'static str, u64)> {
        self.series.iter().map(move |of| {
            let value = of.values.get(point).copied().unwrap_or_default();
            (of.name, value)
        })
    }

    fn highest(&self) -> u64 {
        let of_points = (0..self.points.len()).map(|point| match self.kind {
            Kind::Bars => self.at(point).map(|(_, value)| value).sum(),
            Kind::Line => self.at(point).map(|(_, value)| value).max().unwrap_or(0),
        });
        of_points.max().unwrap_or(0)
    }

    /// What somebody hears who doesn't see the drawing.
    fn said(&self) -> String {
        let of_series = self
            .series
            .iter()
            .map(|of| format!("{}: {}", of.name, self.all_of(of)));
        format!(
            "{}. {}",
            self.title,
            of_series.collect::<Vec<_>>().join(", ")
        )
    }

    /// What a series comes to: what was counted in all, or how it stands at the end.
    fn all_of(&self, series: &Series) -> String {
        (self.show)(match self.kind {
            Kind::Bars => series.values.iter().sum(),
            Kind::Line => series.values.last().copied().unwrap_or_default(),
        })
    }

    pub fn view(&self) -> AnyView {
        // Octets are easy to read in powers of a thousand.
        let is_octets = (self.show)(1) == format::octets(1);
        let top = course::top(self.highest(), if is_octets { 1000 } else { 1 });
        let width = STEP * self.points.len().max(1) as f64;
        let y = |value: u64| HEIGHT - HEIGHT * value as f64 / top as f64;
        let grid = (0..4).map(|quarter| {
            let at = format!("{:.1}", HEIGHT * f64::from(quarter) / 4.0);
            view! { <line class="grid" x1="0" x2=width.to_string() y1=at.clone() y2=at></line> }
        });
        let drawn = match self.kind {
            Kind::Bars => self.bars(y),
            Kind::Line => self.lines(y, width),
        };
        let touched = (0..self.points.len()).map(|point| {
            let x = STEP * point as f64;
            view! {
                <rect class="touched" x=x.to_string() y="0" width=STEP.to_string() height=HEIGHT.to_string()>
                    <title>{self.tip(point)}</title>
                </rect>
            }
        });
        let scale = (0..=4).map(|quarter| {
            let value = top / 4 * (4 - quarter);
            view! { <span>{(self.show)(value)}</span> }
        });
        let names = course::spread(self.points.len(), NAMES_MAX);
        let names = names.filter_map(|point| self.points.get(point));
        let names = names.map(|name| view! { <span>{name.clone()}</span> });
        view! {
            <div class="chart">
                <div class="chart-scale" aria-hidden="true">{scale.collect_view()}</div>
                <svg viewBox=format!("0 0 {width} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label=self.said()>
                    {grid.collect_view()}{drawn}{touched.collect_view()}
                </svg>
                <div class="chart-names" aria-hidden="true">{names.collect_view()}</div>
            </div>
            {self.legend()}
            {self.table()}
        }
        .into_any()
    }

    fn tip(&self, point: usize) -> String {
        let values = self
            .at(point)
            .map(|(name, value)| format!("{name}: {}", (self.show)(value)));
        let name = self.points.get(point).map_or("", String::as_str);
        format!("{name}: {}", values.collect::<Vec<_>>().join(", "))
    }

    fn bars(&self, y: impl Fn(u64) -> f64) -> AnyView {
        let bars = (0..self.points.len()).map(|point| {
            let x = STEP * point as f64 + (STEP - BAR) / 2.0;
            let mut below = 0;
            let parts = self.series.iter().map(|of| {
                let value = of.values.get(point).copied().unwrap_or_default();
                let (from, to) = (y(below), y(below + value));
                below += value;
                view! {
                    <rect class=format!("s{}", of.colour) x=format!("{x:.1}") width=BAR.to_string()
                        y=format!("{to:.1}") height=format!("{:.1}", from - to)></rect>
                }
            });
            parts.collect_view()
        });
        bars.collect_view().into_any()
    }

    fn lines(&self, y: impl Fn(u64) -> f64, width: f64) -> AnyView {
        let lines = self.series.iter().map(|of| {
            let points = of.values.iter().enumerate();
            let points = points
                .map(|(at, value)| format!("{:.1},{:.1}", STEP * (at as f64 + 0.5), y(*value)));
            let points = points.collect::<Vec<_>>().join(" ");
            let area = format!(
                "{:.1},{HEIGHT} {points} {:.1},{HEIGHT}",
                STEP / 2.0,
                width - STEP / 2.0
            );
            view! {
                <polygon class=format!("area s{}", of.colour) points=area></polygon>
                <polyline class=format!("line l{}", of.colour) points=points></polyline>
            }
        });
        lines.collect_view().into_any()
    }

    fn legend(&self) -> AnyView {
        let names = self.series.iter().map(|of| {
            let colour = format!("s{}", of.colour);
            view! {
                <span>
                    <svg viewBox="0 0 12 12" aria-hidden="true"><rect class=colour width="12" height="12" rx="3"></rect></svg>
                    {of.name}" "<b>{self.all_of(of)}</b>
                </span>
            }
        });
        view! { <div class="legend">{names.collect_view()}</div> }.into_any()
    }

    fn table(&self) -> AnyView {
        let heads = self.series.iter();
        let heads = heads.map(|of| view! { <th class="number" scope="col">{of.name}</th> });
        let rows = self.points.iter().enumerate().map(|(point, name)| {
            let cells = self
                .at(point)
                .map(|(_, value)| view! { <td class="number">{(self.show)(value)}</td> });
            view! { <tr><th scope="row">{name.clone()}</th>{cells.collect_view()}</tr> }
        });
        view! {
            <details>
                <summary>{t().as_table}</summary>
                <div class="scroll">
                    <table>
                        <thead><tr><th scope="col">{t().when}</th>{heads.collect_view()}</tr></thead>
                        <tbody>{rows.collect_view()}</tbody>
                    </table>
                </div>
            </details>
        }
        .into_any()
    }
}

/// A line that shows the course at a glance, beside a number that says it.
pub fn spark(values: &[u64], is_count: bool) -> AnyView {
    let values = course::together(values, SPARK_POINTS_MAX, is_count);
    let highest = values.iter().max().copied().unwrap_or(0).max(1);
    let points = values.iter().enumerate().map(|(at, value)| {
        let y = 22.0 - 20.0 * *value as f64 / highest as f64;
        format!("{at},{y:.1}")
    });
    let points = points.collect::<Vec<_>>().join(" ");
    let width = values.len().saturating_sub(1).max(1);
    view! {
        <svg class="spark" viewBox=format!("0 0 {width} 24") preserveAspectRatio="none" aria-hidden="true">
            <polyline class="line l0" points=points></polyline>
        </svg>
    }
    .into_any()
}
