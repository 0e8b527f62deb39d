"""One suite for every gRPC transport."""
