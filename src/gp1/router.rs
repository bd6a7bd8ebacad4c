//! Which instance of the pipeline gets a frame: the first section of `gp1.cfg` whose identifiers match
//! (interfaces.md §5).

use crate::fits::{Header, keywords::KeywordMap};
use crate::model::FrameKeywords;

/// One section of `gp1.cfg` as the router sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Name of the instance.
    pub instance: String,
    /// Header keyword and the value it must have; a frame must match all. Empty: takes every frame.
    pub identifiers: Vec<(String, String)>,
}

/// The sections in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    routes: Vec<Route>,
    keywords: KeywordMap,
}

impl Router {
    pub fn new(routes: Vec<Route>, keywords: KeywordMap) -> Self {
        Self { routes, keywords }
    }

    /// Name of the instance that takes the frame; `None` when no section matches.
    pub fn instance_of(&self, header: &Header, keywords: &FrameKeywords) -> Option<&str> {
        self.routes
            .iter()
            .find(|route| {
                route.identifiers.iter().all(|(name, wanted)| {
                    self.keywords
                        .value_of(header, keywords, name)
                        .is_some_and(|value| same_word(&value, wanted))
                })
            })
            .map(|route| route.instance.as_str())
    }
}

/// Equal but for case and blanks at the ends.
fn same_word(left: &str, right: &str) -> bool {
    left.trim().to_lowercase() == right.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FrameKind, UtcTime};

    fn keywords(kind: FrameKind, observer: Option<&str>) -> FrameKeywords {
        FrameKeywords {
            kind,
            trigger_id: None,
            observer: observer.map(str::to_owned),
            object: None,
            instrument: "C0".into(),
            filter: "w".into(),
            exposure_seconds: 60.0,
            date_obs: UtcTime::from_unix_microseconds(0),
            pointing: None,
            gain_electrons: None,
            read_noise_electrons: None,
            saturation: None,
            binning: 1,
            size_pixels: (8, 8),
            camera: Default::default(),
        }
    }

    fn router() -> Router {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Router::new(
            vec![
                Route {
                    instance: "svom".into(),
                    identifiers: vec![pair("EXPTYPE", "object"), pair("OBSERVER", "SVOM")],
                },
                Route { instance: "colibri".into(), identifiers: vec![pair("EXPTYPE", "Object")] },
            ],
            KeywordMap::default(),
        )
    }

    #[test]
    fn the_first_section_that_matches_takes_the_frame() {
        let router = router();
        let route = |kind: FrameKind, observer: Option<&str>| {
            let mut header = Header::new();
            header.set("EXPTYPE", kind.name(), "");
            if let Some(observer) = observer {
                header.set("OBSERVER", observer, "");
            }
            router.instance_of(&header, &keywords(kind, observer)).map(str::to_owned)
        };
        assert_eq!(route(FrameKind::Object, Some("svom ")).as_deref(), Some("svom"));
        assert_eq!(route(FrameKind::Object, Some("colibri")).as_deref(), Some("colibri"));
        assert_eq!(route(FrameKind::Object, None).as_deref(), Some("colibri"));
        assert_eq!(route(FrameKind::Bias, Some("svom")), None);
    }

    #[test]
    fn order_decides_between_two_that_match() {
        let mut router = router();
        router.routes.reverse();
        let mut header = Header::new();
        header.set("EXPTYPE", "object", "");
        header.set("OBSERVER", "svom", "");
        let keywords = keywords(FrameKind::Object, Some("svom"));
        assert_eq!(router.instance_of(&header, &keywords), Some("colibri"));
    }
}
