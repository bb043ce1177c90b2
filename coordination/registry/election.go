package registry

import (
	"context"
	"errors"
	"math"
	"strconv"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Elect stands for election. won tells whether the broker is the controller now; if not, somebody else is, or was a
// moment ago: see ControllerW. An election that was won before by this session is not won again.
func (r *Registry) Elect(ctx context.Context, broker int32) (c Controller, won bool, err error) {
	info := ControllerInfo{ID: broker, Timestamp: r.opt.Now().UnixMilli(), KRaftEpoch: -1}
	epoch, version, err := r.controllerEpoch(ctx)
	if err != nil {
		return c, false, err
	}
	if epoch == math.MaxInt32 {
		return c, false, &DecodeError{ControllerEpochPath, errors.New("there is no epoch after this one")}
	}
	next := []byte(strconv.FormatInt(int64(epoch)+1, 10))
	results, lost, err := r.multi(ctx, r.opCreate(ControllerPath, info.encode(), zk.Ephemeral),
		opSet(ControllerEpochPath, next, version))
	switch {
	case err == nil:
		return Controller{broker, epoch + 1, results[1].stat.Version}, true, nil
	case errors.Is(err, zk.NodeExists) || errors.Is(err, zk.BadVersion):
		if !lost {
			return c, false, nil
		}
		return r.electedBefore(ctx, broker, epoch+1)
	}
	return c, false, at(ControllerPath, err)
}

// electedBefore tells whether a transaction whose reply was lost has won the election: the node is this session's, and
// the epoch is the one that it wrote.
func (r *Registry) electedBefore(ctx context.Context, broker, epoch int32) (c Controller, won bool, err error) {
	now, err := r.Controller(ctx)
	if err != nil || now.ID != broker || now.Session != r.s.ID() {
		return c, false, err
	}
	e, version, err := r.controllerEpoch(ctx)
	if err != nil || e != epoch {
		return c, false, err
	}
	return Controller{broker, epoch, version}, true, nil
}

// controllerEpoch reads the epoch and the version of its node, which it makes if need be.
func (r *Registry) controllerEpoch(ctx context.Context) (epoch, version int32, err error) {
	for {
		data, stat, err := r.get(ctx, ControllerEpochPath)
		if err == nil {
			epoch, err = decodeControllerEpoch(data)
			return epoch, stat.Version, err
		}
		if !errors.Is(err, zk.NoNode) {
			return 0, 0, at(ControllerEpochPath, err)
		}
		_, err = r.create(ctx, ControllerEpochPath, []byte(controllerEpochFirst))
		if err != nil && !errors.Is(err, zk.NodeExists) {
			return 0, 0, at(ControllerEpochPath, err)
		}
	}
}

// ControllerEpoch is the epoch of the newest controller, 0 if there was none.
func (r *Registry) ControllerEpoch(ctx context.Context) (int32, error) {
	data, _, err := r.get(ctx, ControllerEpochPath)
	if errors.Is(err, zk.NoNode) {
		return 0, nil
	}
	if err != nil {
		return 0, at(ControllerEpochPath, err)
	}
	return decodeControllerEpoch(data)
}

// Controller is who is the controller; its ID is NoController if nobody is.
func (r *Registry) Controller(ctx context.Context) (ControllerInfo, error) {
	data, stat, err := r.get(ctx, ControllerPath)
	return readController(data, stat, err)
}

// ControllerW is Controller with a watch, for the election too if there is none.
func (r *Registry) ControllerW(ctx context.Context) (ControllerInfo, <-chan zk.Event, error) {
	for {
		data, stat, stale, err := r.getW(ctx, ControllerPath)
		if !errors.Is(err, zk.NoNode) {
			c, err := readController(data, stat, err)
			return c, stale, err
		}
		found, stale, err := r.existsW(ctx, ControllerPath)
		if err != nil || !found {
			return ControllerInfo{ID: NoController, KRaftEpoch: -1}, stale, at(ControllerPath, err)
		}
		r.s.Unwatch(stale) // elected between the two
	}
}

func readController(data []byte, stat zk.Stat, err error) (ControllerInfo, error) {
	if errors.Is(err, zk.NoNode) {
		return ControllerInfo{ID: NoController, KRaftEpoch: -1}, nil
	}
	if err != nil {
		return ControllerInfo{ID: NoController, KRaftEpoch: -1}, at(ControllerPath, err)
	}
	c, err := decodeController(data)
	c.Session = stat.EphemeralOwner
	return c, err
}

// Resign ends the controllership. It is no error if that was over already.
func (r *Registry) Resign(ctx context.Context, c Controller) error {
	_, _, err := r.fenced(ctx, c, opDelete(ControllerPath))
	if err == nil || errors.Is(err, ErrFenced) || errors.Is(err, zk.NoNode) {
		return nil
	}
	return at(ControllerPath, err)
}

// CheckController is ErrFenced if c has been succeeded by somebody else.
func (r *Registry) CheckController(ctx context.Context, c Controller) error {
	_, _, err := r.fenced(ctx, c)
	return at(ControllerEpochPath, err)
}
