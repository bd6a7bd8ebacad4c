//! The finding chart: where to look, with stars to find the way.

use super::canvas::Canvas;
use super::cutouts::{draw_bar, draw_compass};
use super::words::sexagesimal;
use crate::imaging::north_up::{AsinhStretch, SkyPicture, tangent_offset_arcsec};
use crate::model::{PositionEstimate, SkyPosition};

/// Side of the field.
pub const FIELD_ARCSEC: f64 = 300.0;
/// Least and greatest side of the picture, pixels.
const SIDES: (f64, f64) = (600.0, 1000.0);
/// Stars that are marked with their magnitude, the brightest of the field.
pub const MARKED_STARS: usize = 30;
/// The star from which the way is shown is no farther than this …
const FARTHEST_STAR_ARCSEC: f64 = 120.0;
/// … and no nearer.
const NEAREST_STAR_ARCSEC: f64 = 8.0;
const TOP: usize = 30;
const BOTTOM: usize = 52;
/// Radius of the circle about a marked star.
const CIRCLE_PIXELS: f64 = 9.0;

/// A star of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChartStar {
    pub position: SkyPosition,
    pub magnitude: f64,
}

/// What the chart is of.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartSubject<'a> {
    pub name: &'a str,
    pub position: SkyPosition,
    /// Whether it is a source; else the middle of the search region.
    pub is_source: bool,
    /// Filter and date of the image.
    pub image: &'a str,
    pub region: Option<PositionEstimate>,
    /// The brightest first.
    pub stars: &'a [ChartStar],
}

/// The way from a bright star to the subject.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offset {
    pub star: ChartStar,
    /// Arcseconds from the star to the subject.
    pub east: f64,
    pub north: f64,
}

/// Side and scale (arcseconds per pixel) of the picture for an image of a pixel scale: its own, or a whole number of pixels for each of its.
pub fn picture_size(scale_arcsec: f64) -> Option<(usize, f64)> {
    let own = FIELD_ARCSEC / scale_arcsec;
    if !(own.is_finite() && own >= 1.0) {
        return None;
    }
    let zoom = (SIDES.0 / own).ceil().max(1.0);
    let side = (own * zoom).min(SIDES.1).round();
    Some((side as usize, FIELD_ARCSEC / side))
}

/// The brightest star that is near enough and not too near.
pub fn offset_from_star(subject: SkyPosition, stars: &[ChartStar]) -> Option<Offset> {
    stars
        .iter()
        .filter(|star| {
            let distance = star.position.separation_arcsec(subject);
            (NEAREST_STAR_ARCSEC..=FARTHEST_STAR_ARCSEC).contains(&distance)
        })
        .min_by(|left, right| left.magnitude.total_cmp(&right.magnitude))
        .and_then(|star| {
            let (east, north) = tangent_offset_arcsec(star.position, subject)?;
            Some(Offset { star: *star, east, north })
        })
}

/// Draws the chart on a picture of the field about the subject. `None` where the picture has no pixel.
pub fn draw(subject: &ChartSubject<'_>, picture: &SkyPicture) -> Option<Canvas> {
    let (sky, sigma) = picture.sky()?;
    let side = picture.pixels.nrows();
    let mut canvas = Canvas::new(side, TOP + side + BOTTOM);
    let stretch = AsinhStretch::for_noise(sigma, 200.0 * sigma);
    canvas.sky((0, TOP), picture, 1, (sky, 1.0), stretch);
    let place =
        |sky: SkyPosition| picture.place_of(sky).map(|(column, row)| (column, row + TOP as f64));
    let is_inside = |(x, y): (f64, f64)| {
        let margin = CIRCLE_PIXELS + 2.0;
        x > margin
            && y > TOP as f64 + margin
            && x < side as f64 - margin
            && y < (TOP + side) as f64 - margin
    };
    let centre = place(subject.position)?;
    if let Some(region) = subject.region
        && let (Some(middle), Some(radius)) = (place(region.position), region.radius_degrees)
    {
        canvas.circle(middle, radius * 3600.0 / picture.scale_arcsec, Some(3.0));
    }
    let clear = 12.0;
    let offset = offset_from_star(subject.position, subject.stars)
        .filter(|offset| place(offset.star.position).is_some_and(is_inside));
    let way = offset.and_then(|offset| place(offset.star.position));
    let marked: Vec<(f64, (f64, f64))> = subject
        .stars
        .iter()
        .filter_map(|star| {
            let place = place(star.position).filter(|place| is_inside(*place))?;
            Some((star.magnitude, place))
        })
        .take(MARKED_STARS)
        .collect();
    let floor = (TOP + side) as f64;
    // What labels keep off: the place, the compass, the scale bar, the way, and all circles.
    let mut taken = vec![
        Patch { left: centre.0 - 40.0, top: centre.1 - 40.0, width: 80.0, height: 80.0 },
        Patch { left: side as f64 - 85.0, top: TOP as f64, width: 85.0, height: 85.0 },
        Patch { left: 0.0, top: floor - 40.0, width: 90.0 / picture.scale_arcsec, height: 40.0 },
    ];
    taken.extend(way.into_iter().flat_map(|star| legs(star, centre)));
    taken.extend(marked.iter().map(|(_, (x, y))| Patch {
        left: x - CIRCLE_PIXELS,
        top: y - CIRCLE_PIXELS,
        width: 2.0 * CIRCLE_PIXELS,
        height: 2.0 * CIRCLE_PIXELS,
    }));
    for (magnitude, (x, y)) in marked {
        canvas.circle((x, y), CIRCLE_PIXELS, None);
        let label = format!("{magnitude:.1}");
        let (width, height) = (Canvas::text_width(&label, 2), 16.0);
        let free = [
            (x + CIRCLE_PIXELS + 3.0, y - 7.0),
            (x - CIRCLE_PIXELS - 3.0 - width, y - 7.0),
            (x - width / 2.0, y - CIRCLE_PIXELS - 18.0),
            (x - width / 2.0, y + CIRCLE_PIXELS + 4.0),
        ]
        .into_iter()
        .map(|(left, top)| Patch { left, top, width, height })
        .find(|label| {
            let is_on = label.left >= 2.0
                && label.left + width <= side as f64 - 2.0
                && label.top >= TOP as f64 + 2.0
                && label.top + height <= floor - 2.0;
            is_on && taken.iter().all(|other| !label.overlaps(other))
        });
        if let Some(free) = free {
            canvas.text((free.left, free.top), 2, &label);
            taken.push(free);
        }
    }
    if let Some(star) = way {
        draw_way(&mut canvas, star, centre, clear);
    }
    // The reticle comes from the side that the way leaves free.
    let downwards = if way.is_some_and(|star| star.1 > centre.1) { -1.0 } else { 1.0 };
    if subject.is_source {
        canvas.reticle(centre, clear, 26.0, downwards);
    } else {
        canvas.line((centre.0 - 6.0, centre.1), (centre.0 + 6.0, centre.1));
        canvas.line((centre.0, centre.1 - 6.0), (centre.0, centre.1 + 6.0));
    }
    let pixels_per_arcsec = 1.0 / picture.scale_arcsec;
    draw_bar(&mut canvas, (14.0, (TOP + side) as f64 - 14.0), 60.0, pixels_per_arcsec);
    draw_compass(&mut canvas, (side as f64 - 20.0, TOP as f64 + 72.0), 40.0);
    let title = format!("{}   {}", subject.name, subject.image);
    canvas.text((6.0, 8.0), 2, &title);
    let (ra, dec) = sexagesimal(subject.position);
    let below = (TOP + side) as f64;
    canvas.text((6.0, below + 8.0), 2, &format!("{ra} {dec} ICRS"));
    if let Some(offset) = offset {
        canvas.text((6.0, below + 30.0), 2, &way_in_words(&offset));
    }
    Some(canvas)
}

/// `FROM STAR OF 14.2: 34.5" E 12.1" N`.
fn way_in_words(offset: &Offset) -> String {
    let along = |value: f64, positive: char, negative: char| {
        format!("{:.1}\" {}", value.abs(), if value < 0.0 { negative } else { positive })
    };
    format!(
        "FROM STAR OF {:.1}: {} {}",
        offset.star.magnitude,
        along(offset.east, 'E', 'W'),
        along(offset.north, 'N', 'S')
    )
}

/// A piece of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Patch {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Patch {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.left + other.width
            && other.left < self.left + self.width
            && self.top < other.top + other.height
            && other.top < self.top + self.height
    }

    fn about(from: (f64, f64), to: (f64, f64)) -> Self {
        Self {
            left: from.0.min(to.0) - 4.0,
            top: from.1.min(to.1) - 4.0,
            width: (from.0 - to.0).abs() + 8.0,
            height: (from.1 - to.1).abs() + 8.0,
        }
    }
}

/// Where the two legs of the way lie.
fn legs(star: (f64, f64), centre: (f64, f64)) -> [Patch; 2] {
    let corner = (centre.0, star.1);
    [Patch::about(star, corner), Patch::about(corner, centre)]
}

/// East or west first, then north or south; ends short of the place.
fn draw_way(canvas: &mut Canvas, star: (f64, f64), centre: (f64, f64), clear: f64) {
    let corner = (centre.0, star.1);
    let across = corner.0 - star.0;
    let down = centre.1 - corner.1;
    if across.abs() > CIRCLE_PIXELS + 4.0 {
        let start = (star.0 + CIRCLE_PIXELS * across.signum(), star.1);
        let end = if down.abs() > clear {
            corner
        } else {
            (corner.0 - clear * across.signum(), corner.1)
        };
        canvas.arrow(start, end);
    }
    if down.abs() > clear + 2.0 {
        let start = if across.abs() > CIRCLE_PIXELS {
            corner
        } else {
            (corner.0, corner.1 + CIRCLE_PIXELS * down.signum())
        };
        canvas.arrow(start, (centre.0, centre.1 - clear * down.signum()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::{BLACK, WHITE};
    use super::*;
    use ndarray::Array2;

    const CENTRE: SkyPosition = SkyPosition { ra_degrees: 30.0, dec_degrees: 24.0 };

    fn picture() -> SkyPicture {
        let (side, scale_arcsec) = picture_size(0.5).unwrap();
        let pixels = Array2::from_shape_fn((side, side), |(row, column)| {
            100.0 + ((row * 7 + column * 13) % 11) as f32
        });
        SkyPicture { centre: CENTRE, scale_arcsec, pixels }
    }

    #[test]
    fn the_picture_is_of_five_minutes_and_of_a_useful_size() {
        for scale in [0.1, 0.35, 0.8, 1.2, 5.0] {
            let (side, own) = picture_size(scale).unwrap();
            assert!((600..=1000).contains(&side), "{scale}: {side}");
            assert!((side as f64 * own - FIELD_ARCSEC).abs() < 1e-6);
        }
        assert_eq!(picture_size(f64::NAN), None);
        assert_eq!(picture_size(0.0), None);
        assert_eq!(picture_size(1e9), None);
    }

    #[test]
    fn the_way_is_from_the_brightest_star_that_is_near() {
        let star = |east, north, magnitude| ChartStar {
            position: CENTRE.offset_arcsec(east, north),
            magnitude,
        };
        let stars = [
            star(3.0, 0.0, 10.0),
            star(200.0, 0.0, 11.0),
            star(60.0, -30.0, 13.0),
            star(40.0, 0.0, 15.0),
        ];
        let offset = offset_from_star(CENTRE, &stars).unwrap();
        assert_eq!(offset.star.magnitude, 13.0);
        assert!((offset.east + 60.0).abs() < 0.05 && (offset.north - 30.0).abs() < 0.05);
        assert_eq!(way_in_words(&offset), "FROM STAR OF 13.0: 60.0\" W 30.0\" N");
        assert_eq!(offset_from_star(CENTRE, &[]), None);
    }

    #[test]
    fn stars_are_circled_and_the_place_stays_free() {
        let stars = [ChartStar { position: CENTRE.offset_arcsec(60.0, -30.0), magnitude: 13.0 }];
        let subject = ChartSubject {
            name: "J020000_240000",
            position: CENTRE,
            is_source: true,
            image: "w 2026-11-02T04:20:05",
            region: Some(PositionEstimate { position: CENTRE, radius_degrees: Some(0.02) }),
            stars: &stars,
        };
        let picture = picture();
        let canvas = draw(&subject, &picture).unwrap();
        let middle = (picture.pixels.nrows() as f64 - 1.0) / 2.0;
        let at = |x: f64, y: f64| {
            canvas.at(x.round() as usize, (y + TOP as f64).round() as usize).unwrap()
        };
        // A star in the east lies to the left, in the south below.
        let star = (middle - 60.0 / picture.scale_arcsec, middle + 30.0 / picture.scale_arcsec);
        let on_circle = (0..360).filter(|degrees| {
            let (sin, cos) = f64::from(*degrees).to_radians().sin_cos();
            at(star.0 + CIRCLE_PIXELS * cos, star.1 + CIRCLE_PIXELS * sin) == BLACK
        });
        assert!(on_circle.count() > 150);
        for (right, down) in [(0.0, 0.0), (5.0, 0.0), (-5.0, 5.0), (0.0, -6.0)] {
            let grey = at(middle + right, middle + down);
            assert!(grey != BLACK && grey != WHITE, "sky about the source: {grey}");
        }
        // Nothing but marks that are asked for.
        let alone = ChartSubject { is_source: false, region: None, stars: &[], ..subject };
        assert!(draw(&alone, &picture).is_some());
        let mut empty = picture;
        empty.pixels.fill(f32::NAN);
        assert_eq!(draw(&alone, &empty), None);
    }
}
