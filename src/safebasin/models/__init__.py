"""A model on disk: found, identified, checked, loaded whole, and written. No direction and no weight arithmetic.

reference   from what a user writes (`path[@revision][#part][+adapter]`, `world:NAME/CHECKPOINT`) to a folder
folder      whether a folder is whole, which files hold its weights, and which checkpoint it is exactly
files       the border of such folders: what is read, how large it may be, what a broken file is called
headers     the headers of safetensors files: names, types, shapes and places of tensors
whole       whether the files hold the tensors that the model is made of
loading     configuration, model and tokenizer as transformers loads them
quiet       silence around transformers
generation  what generation_config.json may hold
vocabulary  token ids: whether they mean the same in two folders, and whether the model has a row for each
placement   device and floating-point type, for engines, training and edits
spreading   one model over several GPUs: whether they are there, what each may hold
images      the processor of a model that reads images
tokens      which tokens end, begin and pad, and how many fit: one reading
gguf        a GGUF file as a folder of plain weights, in a cache
tower       the language tower of a model that reads images too, as a folder of its own
made        folders that are made of a model once and kept
sizes       how large a model is, from headers or config.json alone, and how many rows fit beside it
dtypes      the type of a checkpoint, told from config.json alone, and that of training
computed    the type that a checkpoint answers in, settled by device and memory
writing     folders that we make: whole or not at all, with record and model card
"""
