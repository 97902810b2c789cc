package ddl

import "testing"

func TestTemplate(t *testing.T) {
	text := "ALTER TABLE " + MarkedName("public", "t") + " ADD FOREIGN KEY (a) REFERENCES " + MarkedName(`My "Own"`, "Order")
	got := NewTemplate(text).For(102008)
	want := `ALTER TABLE public_102008.t ADD FOREIGN KEY (a) REFERENCES "My ""Own""_102008"."Order"`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if plain := NewTemplate("SELECT 1"); plain.PerShard() || plain.For(1) != "SELECT 1" {
		t.Errorf("a text without marks came out as %q", plain.For(1))
	}
}
