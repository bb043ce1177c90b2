package main

import (
	"strings"
	"testing"
)

func TestTableFormats(t *testing.T) {
	type row struct {
		Name string  `json:"name"`
		N    int     `json:"n"`
		Tags []int32 `json:"tags"`
		Text string  `json:"text"`
	}
	tab := &table{
		columns: []column{{name: "name"}, {name: "n_of", right: true}, {name: "more", wide: true}},
		data:    []row{{"ä", 7, []int32{1, 2}, "a: b"}, {"bb", 123456, []int32{}, "true"}},
	}
	tab.add("ä", 7, "x,y")
	tab.add("bb", 123456, "")
	for format, want := range map[string]string{
		"table": "NAME    N-OF\nä          7\nbb    123456\n",
		"wide":  "NAME    N-OF  MORE\nä          7  x,y\nbb    123456\n",
		"csv":   "name,n_of,more\nä,7,\"x,y\"\nbb,123456,\n",
		"yaml": "- name: ä\n  n: 7\n  tags: [1, 2]\n  text: 'a: b'\n" +
			"- name: bb\n  n: 123456\n  tags: []\n  text: \"true\"\n",
	} {
		var b strings.Builder
		if err := tab.write(&b, format); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", format, err, b.String(), want)
		}
	}
}
