//! A span as a collector sees it, easier to ask.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1,
};

pub(crate) use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

#[derive(Clone, Debug)]
pub(crate) struct Span {
    span: v1::Span,
    resource: Vec<KeyValue>,
}

impl Span {
    pub(crate) fn all(request: ExportTraceServiceRequest) -> Vec<Self> {
        let of_resource = |spans: v1::ResourceSpans| {
            let resource = spans.resource.unwrap().attributes;
            let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(move |span| Self { span, resource: resource.clone() }).collect::<Vec<_>>()
        };
        request.resource_spans.into_iter().flat_map(of_resource).collect()
    }

    pub(crate) fn name(&self) -> &str {
        &self.span.name
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// Empty if there is none.
    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    pub(crate) fn state(&self) -> &str {
        &self.span.trace_state
    }

    /// Whether its parent is in another process, if that is said.
    pub(crate) fn is_remote(&self) -> Option<bool> {
        let has = |mask: v1::SpanFlags| self.span.flags & mask as u32 != 0;
        has(v1::SpanFlags::ContextHasIsRemoteMask).then(|| has(v1::SpanFlags::ContextIsRemoteMask))
    }

    pub(crate) fn is_failed(&self) -> bool {
        let status = self.span.status.clone().unwrap();
        assert_eq!(status.message, "", "what can be inferred isn't said");
        status.code() == StatusCode::Error
    }

    pub(crate) fn kind(&self) -> SpanKind {
        self.span.kind()
    }

    pub(crate) fn nanos(&self) -> std::ops::RangeInclusive<u64> {
        self.span.start_time_unix_nano..=self.span.end_time_unix_nano
    }

    /// What an attribute says; nothing if there is none.
    pub(crate) fn says(&self, key: &str) -> String {
        said(&self.span.attributes, key)
    }

    /// The same of who has sent it.
    pub(crate) fn sender(&self, key: &str) -> String {
        said(&self.resource, key)
    }

    /// All its attributes as text.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.span)
    }
}

/// The only one of this kind.
pub(crate) fn only(spans: &[Span], kind: SpanKind) -> &Span {
    let found: Vec<_> = spans.iter().filter(|span| span.kind() == kind).collect();
    assert_eq!(found.len(), 1, "{spans:#?}");
    found[0]
}

fn said(attributes: &[KeyValue], key: &str) -> String {
    let values: Vec<_> = attributes.iter().filter(|pair| pair.key == key).collect();
    assert!(values.len() < 2, "{key} twice: {values:?}");
    match values.first().and_then(|pair| pair.value.as_ref()) {
        None => String::new(),
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text.clone(),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => number.to_string(),
        Some(AnyValue { value: Some(Value::DoubleValue(number)) }) => number.to_string(),
        Some(other) => panic!("{key}: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
