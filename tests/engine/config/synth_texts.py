"""Synth's own example configs, their keys written anew: `test_synth_keys.py` reads them."""

RL = """
[algorithm]
type = "online"
method = "policy_gradient"
variety = "gspo"
[services]
task_url = "https://your-task.example.com"
judge_url = "https://judge.example.com"
[compute]
gpu_type = "H100"
gpu_count = 8
[topology]
type = "single_node_split"
gpus_for_vllm = 4
gpus_for_training = 3
gpus_for_ref = 1
tensor_parallel = 4
[vllm]
tensor_parallel_size = 4
max_model_len = 8192
[reference]
placement = "dedicated"
port = 8002
tp = 1
health_max_wait_s = 180
health_interval_ms = 300
[model]
base = "Qwen/Qwen3-4B"
trainer_mode = "full"
label = "crafter-rl"
[lora]
r = 8
alpha = 16
[rollout]
env_name = "crafter"
max_turns = 10
episodes_per_batch = 64
policy_name = "crafter-react"
max_concurrent_rollouts = 8
batches_per_step = 2
ops = ["agent", "env"]
task_app_origin_rewards_only = true
[rollout.env_config.step_rewards]
enabled = true
[rollout.policy_config]
temperature = 0.7
[evaluation]
instances = 10
every_n_iters = 10
seeds = [0, 1, 2]
[training]
num_epochs = 1
iterations_per_epoch = 10
max_turns = 10
batch_size = 16
group_size = 4
gradient_accumulation_steps = 1
max_accumulated_minibatch = 32
learning_rate = 5e-5
log_interval = 1
weight_sync_interval = 1
step_rewards_enabled = true
step_rewards_mode = "decision_stepwise"
step_rewards_strategy = "consistent"
step_rewards_beta = 0.0
step_rewards_indicator_lambda = 1.0
event_rewards_kind = "unique"
[training.weight_sync]
enable = true
targets = ["policy"]
weight_sync_interval = 1
mode = "direct"
direct = true
verify_every_k = 0
[rubric]
enabled = false
[judge]
type = "none"
[tags]
experiment = "x"
"""
RL_FROM_FT = """
[services]
[compute]
gpu_count = 8
[topology]
[vllm]
[model]
label = "crafter-rl-from-ft"
[rollout]
max_turns = 10
[training]
log_interval = 1
"""
MATH_RL = """
type = "rl"
[services]
task_url = "https://your-math-task.example.com"
[model]
base = "Qwen/Qwen3-4B"
[policy]
model = "Qwen/Qwen3-4B"
inference_url = "https://your-inference-host"
max_tokens = 128
temperature = 0.0
[data]
split = "train"
seed_start = 0
episodes_per_iteration = 2048
evaluation_split = "validation"
evaluation_episodes = 256
[training]
max_turns = 1
ops = ["agent", "env"]
batch_size = 128
group_size = 1024
reward_positive = 1.0
reward_negative_no_tool = -1.0
reward_negative_no_answer = -0.5
learning_rate = 5e-6
[compute]
gpu_type = "A10G"
gpu_count = 4
[tags]
experiment = "math_single_step"
"""
MATH_EVAL = """
type = "rl"
provider = "synth"
task_app_url = "http://localhost:8101"
model = "Qwen/Qwen3-1.7B"
split = "validation"
num_episodes = 50
seed_start = 0
[policy]
inference_url = "https://example.com/api/inference"
max_tokens = 128
temperature = 0.0
"""
EVAL_STEPWISE = """
task_app_url = "https://task.example.com"
model = "qwen/qwen3-32b"
inference_url = "http://localhost:8001/proxy/groq"
num_episodes = 10
max_turns = 10
concurrency = 10
thinking_mode = "think"
thinking_budget = 1024
use_tools = true
[rollout]
env_name = "crafter"
policy_name = "crafter-react"
max_turns = 10
[rollout.env_config]
[rollout.env_config.step_rewards]
enabled = true
mode = "decision_stepwise"
strategy = "complex"
indicator_lambda = 0.0
weights = { collect_sapling = 0.1, craft_wood_pickaxe = 0.3 }
k_limits = { collect_sapling = 1, craft_wood_pickaxe = 2 }
[rollout.policy_config]
temperature = 0.2
top_p = 0.95
max_tokens = 512
"""
FFT_4B = """
type = "sft"
[algorithm]
type = "offline"
method = "supervised_finetune"
variety = "fft"
[job]
model = "Qwen/Qwen3-4B"
data_path = "configs/x.jsonl"
[compute]
gpu_type = "H100"
gpu_count = 1
nodes = 1
[data]
topology = {}
validation_path = "configs/v.jsonl"
[training]
mode = "sft_offline"
use_qlora = false
[training.validation]
enabled = true
evaluation_strategy = "steps"
eval_steps = 20
save_best_model_at_end = true
metric_for_best_model = "val.loss"
greater_is_better = false
[hyperparameters]
n_epochs = 1
batch_size = 1
gradient_accumulation_steps = 64
sequence_length = 4096
learning_rate = 5e-6
warmup_ratio = 0.03
train_kind = "fft"
[hyperparameters.parallelism]
use_deepspeed = true
activation_checkpointing = true
tensor_parallel_size = 1
pipeline_parallel_size = 1
[tags]
team = "x"
"""
