// SPDX-License-Identifier: Apache-2.0
// Finds the weights among what a training script has saved.
#pragma once

#include <string_view>
#include <vector>

#include "models/pickle.h"

namespace convmixer {

struct StateDictEntry {
  std::string_view key;
  const pickle::Value* value;
};

// The tensors of the state dict, which is the whole pickle or lies under one of these keys, also
// one inside another. The first that leads to tensors wins, so the plain weights win over their
// moving average:
//   state_dict, model_state_dict, model_state, model, module, network, net, params;
//   then state_dict_ema, model_state_dict_ema, model_ema, ema_state_dict, ema_model, ema.
// Everything beside it is not looked at. Error(kFormat), showing the keys there are, where there is
// none.
using IsTensor = bool (*)(const pickle::Pickle&, const pickle::Value&);
std::vector<StateDictEntry> find_state_dict(const pickle::Pickle& pickle, IsTensor is_tensor);

}  // namespace convmixer
