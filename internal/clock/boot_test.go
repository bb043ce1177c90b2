package clock

import "testing"

func TestBootGoesOn(t *testing.T) {
	a, b := Boot(), Boot()
	if a <= 0 || b < a {
		t.Errorf("%v, then %v", a, b)
	}
}
