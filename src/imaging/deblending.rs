//! Multi-threshold deblending of one component (Bertin & Arnouts 1996, §5).

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// One pixel of a component and its significance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Member {
    pub x: u32,
    pub y: u32,
    pub value: f32,
}

/// How a component is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cutting {
    /// Of the detection, in the unit of the values.
    pub threshold: f32,
    /// Levels between threshold and peak, in equal ratios.
    pub levels: usize,
    /// Least share of the component's total for a branch to become a source.
    pub contrast: f64,
    pub minimum_pixels: usize,
}

const NONE: u32 = u32::MAX;
const MOST_LEVELS: usize = 256;
/// A larger component is no group of sources but a background gone wrong; it is left whole. Bounds memory to about
/// 100 bytes each.
const MOST_PIXELS: usize = 1 << 20;

/// Cuts a component, its pixels in raster order, into sources: for each the indices of its pixels, in raster order.
/// One source when nothing is to be cut.
///
/// From the highest level down, branches grow and meet. Where at least two branches meet that hold, above the level at which
/// they were last apart, more than `contrast` of the component's total, each becomes a source unless it was cut
/// already. Pixels below the cut go to the sources by flooding from the brightest to the faintest, so that borders run
/// along the valleys. Time is O(n log n) and memory O(n) in the number of pixels, whatever the shape of the
/// component: pixels enter a union of sets once, and no level is labelled anew.
pub(super) fn deblend(members: &[Member], cutting: &Cutting) -> Vec<Vec<u32>> {
    let everything = || vec![(0..members.len() as u32).collect()];
    let peak = members.iter().map(|member| member.value).fold(cutting.threshold, f32::max);
    let ratio = f64::from(peak) / f64::from(cutting.threshold);
    let levels = cutting.levels.min(MOST_LEVELS);
    if levels < 2
        || members.len() > MOST_PIXELS
        || members.len() < 2 * cutting.minimum_pixels.max(1)
        || !(ratio.is_finite() && ratio > 1.0)
    {
        return everything();
    }
    let links = Links::new(members);
    let mut forest = Forest::new(members, &links, cutting, levels, ratio);
    let sources = forest.grow();
    if sources < 2 {
        return everything();
    }
    let mut labels = forest.labels;
    flood(members, &links, &mut labels);
    let mut pixels = vec![Vec::new(); sources as usize];
    for (index, &label) in labels.iter().enumerate() {
        if let Some(list) = pixels.get_mut(label as usize) {
            list.push(index as u32);
        }
    }
    pixels
}

/// Where in the raster-ordered list the neighbours of each pixel are.
struct Links {
    /// Index of the first pixel of the row below with a column not left of the pixel's left neighbour.
    lower: Vec<u32>,
    /// The same for the row above.
    upper: Vec<u32>,
}

impl Links {
    fn new(members: &[Member]) -> Self {
        let count = members.len();
        let (mut lower, mut upper) = (vec![0; count], vec![0; count]);
        let before = |a: &Member, y: u32, x: u32| (a.y, a.x) < (y, x);
        let mut cursor = 0;
        for (index, member) in members.iter().enumerate() {
            // Of row −1 there is nothing: the cursor may stand anywhere, `neighbours` looks at the row.
            let row = member.y.wrapping_sub(1);
            while row != u32::MAX
                && cursor < count
                && before(&members[cursor], row, member.x.saturating_sub(1))
            {
                cursor += 1;
            }
            lower[index] = cursor as u32;
        }
        cursor = 0;
        for (index, member) in members.iter().enumerate() {
            while cursor < count
                && before(&members[cursor], member.y + 1, member.x.saturating_sub(1))
            {
                cursor += 1;
            }
            upper[index] = cursor as u32;
        }
        Self { lower, upper }
    }

    /// Indices of the up to eight neighbours of pixel `index` in the component.
    fn neighbours(&self, members: &[Member], index: u32) -> ([u32; 8], usize) {
        let (mut found, mut count) = ([NONE; 8], 0);
        let here = members[index as usize];
        let mut take = |near: u32, row: u32| -> bool {
            match members.get(near as usize) {
                Some(member) if member.y == row && member.x <= here.x + 1 => {
                    if member.x + 1 >= here.x && count < 8 {
                        found[count] = near;
                        count += 1;
                    }
                    true
                }
                _ => false,
            }
        };
        for (start, row) in [
            (self.lower[index as usize], here.y.wrapping_sub(1)),
            (self.upper[index as usize], here.y + 1),
        ] {
            for step in 0..3 {
                if !take(start + step, row) {
                    break;
                }
            }
        }
        take(index + 1, here.y);
        if index > 0 {
            take(index - 1, here.y);
        }
        (found, count)
    }
}

/// A connected set of pixels above a level.
#[derive(Debug, Clone, Copy)]
struct Branch {
    sum: f64,
    count: u32,
    /// First and last pixel of its chain; what was the branch at the level before is the beginning of the chain.
    head: u32,
    tail: u32,
    /// Has been cut into sources higher up.
    split: bool,
    /// First and last of the branches of the level before that it is made of.
    first_child: u32,
    last_child: u32,
}

/// A branch as it was at the level above the current one.
#[derive(Debug, Clone, Copy)]
struct Child {
    sum: f64,
    count: u32,
    head: u32,
    split: bool,
    next: u32,
}

struct Forest<'a> {
    members: &'a [Member],
    links: &'a Links,
    minimum_pixels: u32,
    /// Least flux of a branch above its level.
    least: f64,
    level_values: Vec<f64>,
    /// Pixels from the highest level to the lowest, raster order within one; bounds of each level in it.
    order: Vec<u32>,
    bounds: Vec<usize>,
    parents: Vec<u32>,
    branches: Vec<Branch>,
    chain: Vec<u32>,
    labels: Vec<u32>,
    sources: u32,
}

impl<'a> Forest<'a> {
    fn new(
        members: &'a [Member],
        links: &'a Links,
        cutting: &Cutting,
        levels: usize,
        ratio: f64,
    ) -> Self {
        let threshold = f64::from(cutting.threshold);
        let total: f64 = members.iter().map(|member| f64::from(member.value)).sum();
        let level_values: Vec<f64> =
            (0..levels).map(|level| threshold * ratio.powf(level as f64 / levels as f64)).collect();
        // Level of each pixel: the highest it stands above. All stand above the lowest.
        let level_of = |member: &Member| {
            let value = f64::from(member.value);
            level_values.partition_point(|&level| level < value).saturating_sub(1)
        };
        let mut bounds = vec![0usize; levels + 1];
        let member_levels: Vec<u16> = members
            .iter()
            .map(|member| {
                let depth = levels - 1 - level_of(member);
                bounds[depth + 1] += 1;
                depth as u16
            })
            .collect();
        for depth in 0..levels {
            bounds[depth + 1] += bounds[depth];
        }
        let mut next = bounds.clone();
        let mut order = vec![0u32; members.len()];
        for (index, &depth) in member_levels.iter().enumerate() {
            order[next[depth as usize]] = index as u32;
            next[depth as usize] += 1;
        }
        let branches = members
            .iter()
            .enumerate()
            .map(|(index, member)| Branch {
                sum: f64::from(member.value),
                count: 1,
                head: index as u32,
                tail: index as u32,
                split: false,
                first_child: NONE,
                last_child: NONE,
            })
            .collect();
        Self {
            members,
            links,
            minimum_pixels: cutting.minimum_pixels.max(1) as u32,
            least: cutting.contrast.max(0.0) * total,
            level_values,
            order,
            bounds,
            parents: vec![NONE; members.len()],
            branches,
            chain: vec![NONE; members.len()],
            labels: vec![NONE; members.len()],
            sources: 0,
        }
    }

    fn root(&mut self, mut index: u32) -> u32 {
        while self.parents[index as usize] != index {
            let grandparent = self.parents[self.parents[index as usize] as usize];
            self.parents[index as usize] = grandparent;
            index = grandparent;
        }
        index
    }

    /// Lowers the level step by step; the number of sources found.
    fn grow(&mut self) -> u32 {
        let levels = self.level_values.len();
        let mut children: Vec<Child> = Vec::new();
        let mut roots: Vec<u32> = Vec::new();
        for depth in 0..levels {
            // The branches of the level before become children of those of this level.
            children.clear();
            for &root in &roots {
                let branch = &mut self.branches[root as usize];
                branch.first_child = children.len() as u32;
                branch.last_child = branch.first_child;
                children.push(Child {
                    sum: branch.sum,
                    count: branch.count,
                    head: branch.head,
                    split: branch.split,
                    next: NONE,
                });
            }
            let entering = self.bounds[depth]..self.bounds[depth + 1];
            for position in entering.clone() {
                let pixel = self.order[position];
                self.parents[pixel as usize] = pixel;
                let (near, count) = self.links.neighbours(self.members, pixel);
                for &near in &near[..count] {
                    if self.parents[near as usize] != NONE {
                        self.join(pixel, near, &mut children);
                    }
                }
            }
            for position in entering {
                roots.push(self.order[position]);
            }
            let mut kept = 0;
            for index in 0..roots.len() {
                if self.parents[roots[index] as usize] == roots[index] {
                    roots[kept] = roots[index];
                    kept += 1;
                }
            }
            roots.truncate(kept);
            if depth > 0 {
                let level = self.level_values[levels - depth];
                for &root in &roots {
                    self.settle(root, level, &children);
                }
            }
        }
        self.sources
    }

    fn join(&mut self, a: u32, b: u32, children: &mut [Child]) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        // The larger set keeps its root; its chain comes first. A branch with children must begin with them.
        let (first, second) = (self.branches[a as usize], self.branches[b as usize]);
        let a_first = (first.count, Reverse(a)) >= (second.count, Reverse(b));
        let ((keeper, mut kept), (_, lost)) =
            if a_first { ((a, first), (b, second)) } else { ((b, second), (a, first)) };
        self.parents[if a_first { b } else { a } as usize] = keeper;
        self.chain[kept.tail as usize] = lost.head;
        kept.tail = lost.tail;
        kept.sum += lost.sum;
        kept.count += lost.count;
        kept.split |= lost.split;
        if lost.first_child != NONE {
            if kept.first_child == NONE {
                kept.first_child = lost.first_child;
            } else if let Some(child) = children.get_mut(kept.last_child as usize) {
                child.next = lost.first_child;
            }
            kept.last_child = lost.last_child;
        }
        self.branches[keeper as usize] = kept;
    }

    /// Decides whether the branches that met in `root` are sources. `level` is that at which they were apart.
    fn settle(&mut self, root: u32, level: f64, children: &[Child]) {
        let branch = self.branches[root as usize];
        if branch.first_child == branch.last_child {
            return;
        }
        let significant = |child: &Child| {
            child.count >= self.minimum_pixels
                && child.sum - level * f64::from(child.count) > self.least
        };
        let list = || {
            std::iter::successors(children.get(branch.first_child as usize), |child| {
                children.get(child.next as usize)
            })
        };
        if list().filter(|child| significant(child)).count() < 2 {
            return;
        }
        let sources: Vec<Child> =
            list().filter(|child| significant(child) && !child.split).copied().collect();
        for child in sources {
            let mut pixel = child.head;
            for _ in 0..child.count {
                self.labels[pixel as usize] = self.sources;
                pixel = self.chain[pixel as usize];
            }
            self.sources += 1;
        }
        self.branches[root as usize].split = true;
    }
}

/// A pixel at the border of what is flooded.
#[derive(PartialEq)]
struct Shore {
    value: f32,
    index: u32,
}

impl Eq for Shore {}

impl Ord for Shore {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.total_cmp(&other.value).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Shore {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Spreads the labels over the unlabelled pixels, brightest shore first.
fn flood(members: &[Member], links: &Links, labels: &mut [u32]) {
    let mut shores: BinaryHeap<Shore> = BinaryHeap::new();
    let shore = |index: u32| Shore { value: members[index as usize].value, index };
    let is_dry = |labels: &[u32], index: u32| {
        let (near, count) = links.neighbours(members, index);
        near[..count].iter().any(|&near| labels[near as usize] == NONE)
    };
    for index in 0..members.len() as u32 {
        if labels[index as usize] != NONE && is_dry(labels, index) {
            shores.push(shore(index));
        }
    }
    while let Some(Shore { index, .. }) = shores.pop() {
        let (near, count) = links.neighbours(members, index);
        for &near in &near[..count] {
            if labels[near as usize] == NONE {
                labels[near as usize] = labels[index as usize];
                shores.push(shore(near));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CUTTING: Cutting =
        Cutting { threshold: 3.0, levels: 32, contrast: 0.005, minimum_pixels: 4 };

    /// Pixels above the threshold of a sum of Gaussians (x, y, peak).
    fn component(width: u32, height: u32, sigma: f64, stars: &[(f64, f64, f64)]) -> Vec<Member> {
        let mut members = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let mut value = 0.0;
                for &(u, v, peak) in stars {
                    let square = (f64::from(x) - u).powi(2) + (f64::from(y) - v).powi(2);
                    value += peak * (-0.5 * square / (sigma * sigma)).exp();
                }
                if value > 3.0 {
                    members.push(Member { x, y, value: value as f32 });
                }
            }
        }
        members
    }

    fn brightest(members: &[Member], pixels: &[u32]) -> (u32, u32) {
        let top = pixels
            .iter()
            .max_by(|&&a, &&b| members[a as usize].value.total_cmp(&members[b as usize].value));
        let member = members[*top.unwrap() as usize];
        (member.x, member.y)
    }

    #[test]
    fn one_star_stays_one() {
        let members = component(40, 40, 2.0, &[(20.0, 20.0, 500.0)]);
        let sources = deblend(&members, &CUTTING);
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].len(), members.len());
    }

    #[test]
    fn a_pair_is_cut_between_the_peaks() {
        let members = component(40, 40, 2.0, &[(16.0, 20.0, 500.0), (24.0, 20.0, 500.0)]);
        let sources = deblend(&members, &CUTTING);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].len() + sources[1].len(), members.len());
        for pixels in &sources {
            let left = brightest(&members, pixels).0 == 16;
            for &pixel in pixels {
                let x = members[pixel as usize].x;
                assert!(x == 20 || (x < 20) == left, "the valley is the border");
            }
        }
    }

    #[test]
    fn three_in_a_row_of_different_brightness() {
        let stars = [(12.0, 15.0, 900.0), (21.0, 15.0, 300.0), (31.0, 16.0, 60.0)];
        let members = component(45, 30, 2.0, &stars);
        let mut peaks: Vec<_> =
            deblend(&members, &CUTTING).iter().map(|pixels| brightest(&members, pixels)).collect();
        peaks.sort_unstable();
        assert_eq!(peaks, [(12, 15), (21, 15), (31, 16)]);
    }

    #[test]
    fn a_companion_below_the_contrast_is_left_in() {
        let stars = [(16.0, 20.0, 5000.0), (27.0, 20.0, 12.0)];
        let members = component(45, 40, 2.0, &stars);
        assert_eq!(deblend(&members, &CUTTING).len(), 1);
        let sensitive = Cutting { contrast: 0.0001, ..CUTTING };
        assert_eq!(deblend(&members, &sensitive).len(), 2);
    }

    #[test]
    fn degenerate_components_are_answered() {
        assert_eq!(deblend(&[], &CUTTING), vec![Vec::<u32>::new()]);
        let flat: Vec<Member> =
            (0..100).map(|pixel| Member { x: pixel % 10, y: pixel / 10, value: 7.0 }).collect();
        assert_eq!(deblend(&flat, &CUTTING).len(), 1);
        assert_eq!(deblend(&flat, &Cutting { levels: 0, ..CUTTING }).len(), 1);
        assert_eq!(deblend(&flat, &Cutting { threshold: 0.0, ..CUTTING }).len(), 1);
        assert_eq!(deblend(&flat, &Cutting { threshold: f32::NAN, ..CUTTING }).len(), 1);
    }

    proptest! {
        #[test]
        fn neighbours_are_those_of_the_grid(bits in prop::collection::vec(any::<bool>(), 8 * 7)) {
            let members: Vec<Member> = (0..56u32)
                .filter(|&pixel| bits[pixel as usize])
                .map(|pixel| Member { x: pixel % 8, y: pixel / 8, value: 5.0 })
                .collect();
            let links = Links::new(&members);
            for index in 0..members.len() as u32 {
                let here = members[index as usize];
                let (near, count) = links.neighbours(&members, index);
                let mut found = near[..count].to_vec();
                found.sort_unstable();
                let expected: Vec<u32> = (0..members.len() as u32)
                    .filter(|&other| {
                        let there = members[other as usize];
                        other != index && there.x.abs_diff(here.x) <= 1 && there.y.abs_diff(here.y) <= 1
                    })
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn every_pixel_goes_to_one_source(values in prop::collection::vec(3.1f32..300.0, 15 * 11)) {
            let members: Vec<Member> = values
                .iter()
                .enumerate()
                .map(|(pixel, &value)| Member { x: pixel as u32 % 15, y: pixel as u32 / 15, value })
                .collect();
            let sources = deblend(&members, &Cutting { minimum_pixels: 2, ..CUTTING });
            let mut pixels: Vec<u32> = sources.concat();
            pixels.sort_unstable();
            prop_assert_eq!(pixels, (0..members.len() as u32).collect::<Vec<_>>());
            prop_assert!(sources.iter().all(|source| !source.is_empty()));
        }
    }
}
