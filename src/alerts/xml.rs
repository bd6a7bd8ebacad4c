//! XML documents of strangers as a small tree, with namespaces resolved and hard limits.
//!
//! Document types and entity declarations are refused (no expansion attack is possible without them); only the five
//! predefined entities and character references are understood. Elements of namespaces the caller does not name are
//! left out with all they contain, so that a foreign `Param` is never taken for one of ours.

use quick_xml::{
    NsReader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
    name::ResolveResult,
};

/// What a document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XmlLimits {
    pub maximum_bytes: usize,
    pub maximum_depth: usize,
    pub maximum_elements: usize,
    pub maximum_attributes: usize,
}

impl Default for XmlLimits {
    /// A thousand times what the largest real packet needs in elements, and no recursion worth the name.
    fn default() -> Self {
        Self {
            maximum_bytes: 1 << 20,
            maximum_depth: 32,
            maximum_elements: 20_000,
            maximum_attributes: 64,
        }
    }
}

/// Why a text is not taken. Sending the same text again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    #[error("{length} bytes are more than the {limit} allowed")]
    TooLong { length: usize, limit: usize },
    #[error("elements nested deeper than {limit}")]
    TooDeep { limit: usize },
    #[error("more than {limit} elements")]
    TooManyElements { limit: usize },
    #[error("more than {limit} attributes on one element")]
    TooManyAttributes { limit: usize },
    #[error("document types and entity declarations are refused")]
    DocumentType,
    #[error("entity '&{name};' is unknown")]
    UnknownEntity { name: String },
    #[error("the text is not in its encoding, {encoding}")]
    Encoding { encoding: String },
    #[error("encoding '{name}' is not understood; allowed: UTF-8, US-ASCII, ISO-8859-1")]
    UnknownEncoding { name: String },
    #[error("at byte {offset}: {reason}")]
    Malformed { offset: u64, reason: String },
    #[error("there is no element")]
    Empty,
}

/// One element. Names are local names: prefixes mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    pub name: String,
    /// Empty where the element is in none.
    pub namespace: String,
    /// Without namespace declarations.
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Element>,
    /// The text of this element itself, in one piece, untrimmed.
    pub text: String,
}

impl Element {
    /// Parses a document. The root is kept whatever its namespace; below it, an element is kept if its namespace is that
    /// of its parent or none, or if `is_known` says so.
    pub fn parse(
        bytes: &[u8],
        limits: &XmlLimits,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Self, XmlError> {
        if bytes.len() > limits.maximum_bytes {
            let limit = limits.maximum_bytes;
            return Err(XmlError::TooLong { length: bytes.len(), limit });
        }
        let text = decode(bytes)?;
        TreeBuilder::new(limits, is_known).build(&text)
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children_named(name).next()
    }

    pub fn children_named(&self, name: &str) -> impl Iterator<Item = &Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The element at the end of a path of names, each the first of its name.
    pub fn descendant(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// First element of that name below this one, in the order of the document.
    pub fn find(&self, name: &str) -> Option<&Element> {
        self.children
            .iter()
            .find_map(|child| if child.name == name { Some(child) } else { child.find(name) })
    }

    /// The text without white space around it; `None` if nothing is left.
    pub fn trimmed_text(&self) -> Option<&str> {
        let trimmed = self.text.trim();
        (!trimmed.is_empty()).then_some(trimmed)
    }
}

/// The text of a document in UTF-8, US-ASCII or ISO-8859-1, as its declaration says.
fn decode(bytes: &[u8]) -> Result<String, XmlError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let name = declared_encoding(bytes).unwrap_or_else(|| "UTF-8".to_owned());
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| XmlError::Encoding { encoding: name }),
        // Its 256 codes are the first 256 of Unicode.
        "iso-8859-1" | "latin-1" | "latin1" => {
            Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
        }
        _ => Err(XmlError::UnknownEncoding { name }),
    }
}

/// The encoding that `<?xml … encoding="…"?>` names. The declaration itself is ASCII in all encodings understood.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let declaration = bytes.strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).position(|pair| pair == b"?>")?;
    let declaration = String::from_utf8_lossy(declaration.get(..end)?).into_owned();
    let (_, after_name) = declaration.split_once("encoding")?;
    let quoted = after_name.trim_start().strip_prefix('=')?.trim_start();
    let quote = quoted.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    quoted.get(1..)?.split_once(quote).map(|(name, _)| name.trim().to_owned())
}

struct TreeBuilder<'l, F> {
    limits: &'l XmlLimits,
    is_known: F,
    open: Vec<Element>,
    /// Open elements of a foreign tree that is being left out.
    skipped_depth: usize,
    element_count: usize,
    root: Option<Element>,
}

impl<'l, F: Fn(&str) -> bool> TreeBuilder<'l, F> {
    fn new(limits: &'l XmlLimits, is_known: F) -> Self {
        Self { limits, is_known, open: Vec::new(), skipped_depth: 0, element_count: 0, root: None }
    }

    fn build(mut self, text: &str) -> Result<Element, XmlError> {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        loop {
            let offset = reader.buffer_position();
            let malformed = |reason: String| XmlError::Malformed { offset, reason };
            let (resolution, event) =
                reader.read_resolved_event().map_err(|error| malformed(error.to_string()))?;
            match event {
                Event::Start(start) => {
                    let namespace = match resolution {
                        ResolveResult::Bound(namespace) => namespace.0.to_owned(),
                        ResolveResult::Unbound => String::new(),
                        ResolveResult::Unknown(prefix) => {
                            return Err(malformed(format!("prefix '{prefix}' is not declared")));
                        }
                    };
                    self.start(&start, namespace, offset)?;
                }
                Event::End(_) => self.end(),
                Event::Text(piece) => {
                    let piece = piece.xml10_content();
                    if self.open.is_empty() && !piece.trim().is_empty() {
                        return Err(malformed("text outside the root element".to_owned()));
                    }
                    self.text(&piece);
                }
                Event::CData(piece) => self.text(&piece.xml10_content()),
                Event::GeneralRef(reference) => {
                    let resolved = resolve(&reference, offset)?;
                    self.text(&resolved);
                }
                Event::DocType(_) => return Err(XmlError::DocumentType),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
                Event::Eof => break,
            }
        }
        if !self.open.is_empty() || self.skipped_depth > 0 {
            let offset = reader.buffer_position();
            let reason = "the document ends inside an element".to_owned();
            return Err(XmlError::Malformed { offset, reason });
        }
        self.root.ok_or(XmlError::Empty)
    }

    fn start(
        &mut self,
        start: &BytesStart<'_>,
        namespace: String,
        offset: u64,
    ) -> Result<(), XmlError> {
        self.element_count += 1;
        if self.element_count > self.limits.maximum_elements {
            return Err(XmlError::TooManyElements { limit: self.limits.maximum_elements });
        }
        if self.open.len() + self.skipped_depth >= self.limits.maximum_depth {
            return Err(XmlError::TooDeep { limit: self.limits.maximum_depth });
        }
        let malformed = |reason: String| XmlError::Malformed { offset, reason };
        let parent_namespace = self.open.last().map(|parent| parent.namespace.as_str());
        let is_kept = match parent_namespace {
            None if self.root.is_some() => {
                return Err(malformed("a second root element".to_owned()));
            }
            None => true,
            Some(of_parent) => {
                namespace.is_empty() || namespace == of_parent || (self.is_known)(&namespace)
            }
        };
        if self.skipped_depth > 0 || !is_kept {
            self.skipped_depth += 1;
            return Ok(());
        }
        let mut element = Element {
            name: start.local_name().into_inner().to_owned(),
            namespace,
            ..Element::default()
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| malformed(error.to_string()))?;
            if element.attributes.len() >= self.limits.maximum_attributes {
                return Err(XmlError::TooManyAttributes { limit: self.limits.maximum_attributes });
            }
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| malformed(error.to_string()))?;
            let name = attribute.key.local_name().into_inner().to_owned();
            element.attributes.push((name, value.into_owned()));
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) {
        if self.skipped_depth > 0 {
            self.skipped_depth -= 1;
            return;
        }
        let Some(element) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, piece: &str) {
        if self.skipped_depth == 0
            && let Some(element) = self.open.last_mut()
        {
            element.text.push_str(piece);
        }
    }
}

fn resolve(reference: &BytesRef<'_>, offset: u64) -> Result<String, XmlError> {
    let character = reference
        .resolve_char_ref()
        .map_err(|error| XmlError::Malformed { offset, reason: error.to_string() })?;
    if let Some(character) = character {
        return Ok(character.to_string());
    }
    let name = reference.xml10_content();
    match resolve_predefined_entity(&name) {
        Some(text) => Ok(text.to_owned()),
        None => Err(XmlError::UnknownEntity { name: name.into_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Element, XmlError> {
        Element::parse(text.as_bytes(), &XmlLimits::default(), |_| false)
    }

    #[test]
    fn entities_character_references_and_cdata_are_one_text() {
        let element = parse("<a b='&lt;&#65;'>x &amp; y&#x41;<![CDATA[<z>]]></a>").unwrap();
        assert_eq!(element.attribute("b"), Some("<A"));
        assert_eq!(element.text, "x & yA<z>");
    }

    #[test]
    fn declarations_that_could_expand_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>";
        assert_eq!(parse(bomb), Err(XmlError::DocumentType));
        assert_eq!(parse("<a>&b;</a>"), Err(XmlError::UnknownEntity { name: "b".into() }));
        assert!(parse("<a b='&b;'/>").is_err());
    }

    #[test]
    fn limits_hold() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        assert_eq!(parse(&deep), Err(XmlError::TooDeep { limit: 32 }));
        let foreign =
            format!("<a xmlns:f='urn:f'>{}{}</a>", "<f:b>".repeat(40), "</f:b>".repeat(40));
        assert_eq!(parse(&foreign), Err(XmlError::TooDeep { limit: 32 }));
        let wide = format!("<a>{}</a>", "<b/>".repeat(20_000));
        assert_eq!(parse(&wide), Err(XmlError::TooManyElements { limit: 20_000 }));
        let attributes: String = (0..65).map(|index| format!(" a{index}=''")).collect();
        assert_eq!(
            parse(&format!("<a{attributes}/>")),
            Err(XmlError::TooManyAttributes { limit: 64 })
        );
        let limits = XmlLimits { maximum_bytes: 3, ..XmlLimits::default() };
        let error = Element::parse(b"<a/>", &limits, |_| false);
        assert_eq!(error, Err(XmlError::TooLong { length: 4, limit: 3 }));
    }

    #[test]
    fn malformed_documents_are_refused() {
        for text in [
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<p:a/>",
            "<a b='1' b='2'/>",
            "junk",
            "<a/>junk",
            "<a b=1/>",
        ] {
            assert!(
                matches!(parse(text), Err(XmlError::Malformed { .. })),
                "{text}: {:?}",
                parse(text)
            );
        }
        assert_eq!(parse(""), Err(XmlError::Empty));
        assert_eq!(parse("<!-- nothing -->"), Err(XmlError::Empty));
    }

    #[test]
    fn elements_of_foreign_namespaces_are_left_out() {
        let text = "<v:a xmlns:v='urn:v' xmlns:f='urn:f'><f:b><b/>no</f:b><b/><v:b/>yes</v:a>";
        let element = parse(text).unwrap();
        assert_eq!(element.children.len(), 2);
        assert_eq!(element.text, "yes");
    }

    #[test]
    fn the_declared_encoding_counts() {
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>";
        let element = Element::parse(latin, &XmlLimits::default(), |_| false).unwrap();
        assert_eq!(element.text, "\u{e9}");
        let wrong = b"<?xml version='1.0' encoding='UTF-8'?><a>\xe9</a>";
        assert!(matches!(
            Element::parse(wrong, &XmlLimits::default(), |_| false),
            Err(XmlError::Encoding { .. })
        ));
        assert_eq!(
            parse("<?xml version='1.0' encoding='UTF-7'?><a/>"),
            Err(XmlError::UnknownEncoding { name: "UTF-7".into() })
        );
    }
}
